"""The hardware that one management gateway sees. Pure: no sockets, no clock.

Each gateway has a `SimulatedHardware` of its own, made from the same file, as upstream gives each its own simulators.
Unlike upstream's, both agree on which sidecar is in which slot: `SimSidecar0` is switch 0 from either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simstack.errors import SimstackError
from simstack.gateway.types import (
    Gimlet,
    IgnitionPresent,
    PowerState,
    RotSlot,
    RotState,
    RotStateV2,
    RotStateV3,
    Sidecar,
    SpIdentifier,
    SpIgnition,
    SpIgnitionInfo,
    SpIgnitionSystemType,
    SpState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simstack.gateway.sp_sim import GimletConfig, SidecarConfig, SpSimConfig

SLOT_A = RotSlot("a")


class NoSuchSp(Exception):
    """No service processor has this identifier."""

    def __init__(self, identifier: SpIdentifier) -> None:
        super().__init__(f"nonexistent SP ({identifier})")


class NoSuchSwitch(SimstackError):
    """The configuration has no sidecar in the slot where a gateway should be."""


@dataclass(slots=True, kw_only=True)
class ServiceProcessor:
    """One service processor: what its configuration says of it, and what has changed since."""

    identifier: SpIdentifier
    config: SidecarConfig | GimletConfig
    system_type: SpIgnitionSystemType
    default_model: str
    power_state: PowerState
    ignition_power: bool = True

    def state(self) -> SpState:
        return SpState(
            serial_number=self.config.serial_number,
            model=self.config.part_number or self.default_model,
            revision=0,
            hubris_archive_id="0" * 16,
            base_mac_address=(0, 0, 0, 0, 0, 0),
            power_state=self.power_state,
            rot=self._rot_state(),
        )

    def ignition(self) -> SpIgnition:
        return IgnitionPresent(id=self.system_type, power=self.ignition_power)

    def _rot_state(self) -> RotState:
        if self.config.old_rot_state:
            return RotStateV2(
                active=SLOT_A,
                persistent_boot_preference=SLOT_A,
                slot_a_sha3_256_digest="55" * 32,
                slot_b_sha3_256_digest="66" * 32,
            )
        return RotStateV3(
            active=SLOT_A,
            persistent_boot_preference=SLOT_A,
            slot_a_fwid="aa" * 32,
            slot_b_fwid="bb" * 32,
            stage0_fwid="cc" * 32,
            stage0next_fwid="dd" * 32,
        )


@dataclass(frozen=True, slots=True)
class SimulatedHardware:
    """The service processors in reach of the gateway beside switch `local_switch`."""

    local_switch: SpIdentifier
    sps: Mapping[SpIdentifier, ServiceProcessor]
    """In the order of ignition targets: the local switch, the other switches, the sleds."""

    @classmethod
    def new(cls, config: SpSimConfig, *, switch_slot: int) -> SimulatedHardware:
        """All hardware in its initial state. Raises NoSuchSwitch."""
        if switch_slot not in switch_slots(config):
            raise NoSuchSwitch(f"the sp-sim configuration has no sidecar for switch{switch_slot}")
        local_switch = SpIdentifier("switch", switch_slot)
        switches = sorted(_switches(config.simulated_sps.sidecar), key=lambda sp: sp.identifier != local_switch)
        sps = (*switches, *_sleds(config.simulated_sps.gimlet))
        return cls(local_switch, {sp.identifier: sp for sp in sps})

    def sp(self, identifier: SpIdentifier) -> ServiceProcessor:
        """Raises NoSuchSp."""
        try:
            return self.sps[identifier]
        except KeyError:
            raise NoSuchSp(identifier) from None

    def ignition_of(self, identifier: SpIdentifier) -> SpIgnitionInfo:
        """Raises NoSuchSp."""
        return SpIgnitionInfo(identifier, self.sp(identifier).ignition())


def switch_slots(config: SpSimConfig) -> range:
    """The switch slots that can have a gateway."""
    return range(len(config.simulated_sps.sidecar))


def _switches(configs: Sequence[SidecarConfig]) -> list[ServiceProcessor]:
    return [
        ServiceProcessor(
            identifier=SpIdentifier("switch", slot),
            config=config,
            system_type=Sidecar(),
            default_model="FAKE_SIM_SIDECAR",
            power_state="A2",
        )
        for slot, config in enumerate(configs)
    ]


def _sleds(configs: Sequence[GimletConfig]) -> list[ServiceProcessor]:
    return [
        ServiceProcessor(
            identifier=SpIdentifier("sled", slot),
            config=config,
            system_type=Gimlet(),
            default_model="i86pc",
            power_state="A0",
        )
        for slot, config in enumerate(configs)
    ]
