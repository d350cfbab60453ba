"""The configuration of the simulated service processors: an sp-sim TOML file with upstream's keys.

Everything that upstream's file can say of simulated hardware is read and kept, also what is not served yet (sensors,
cabooses, ereports). Addresses are read and not bound: here a gateway asks its simulated hardware by function call.
"""

from __future__ import annotations

import difflib
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from dropshot.address import SocketAddr
from dropshot.logging import LogConfig
from simstack.errors import SimstackError
from simstack.gateway.types import UInt32

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Seed: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")]
ComponentId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=16)]
Timestamp: TypeAlias = Annotated[int, Meta(ge=0)]
"""Milliseconds since the service processor started."""

Presence: TypeAlias = Literal["Present", "NotPresent", "Failed", "Unavailable", "Timeout", "Error"]
MeasurementKind: TypeAlias = Literal[
    "Temperature", "Power", "Current", "Voltage", "InputCurrent", "InputVoltage", "Speed", "CpuTctl"
]
SensorDataMissing: TypeAlias = Literal[
    "DeviceOff", "DeviceError", "DeviceNotPresent", "DeviceUnavailable", "DeviceTimeout"
]


class SpSimError(SimstackError):
    """An sp-sim file that cannot be used. One line, naming the file and the key."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of which every key is known."""


class SimulatedNetwork(_Section, frozen=True):
    bind_addr: str

    def __post_init__(self) -> None:
        SocketAddr.parse(self.bind_addr)


class NetworkConfig(_Section, frozen=True):
    """One of the two management networks. Upstream's `real` has no meaning where nothing is sent."""

    simulated: SimulatedNetwork


class LastData(_Section, frozen=True):
    value: float
    timestamp: Timestamp


class LastError(_Section, frozen=True):
    value: SensorDataMissing
    timestamp: Timestamp


class SensorConfig(_Section, frozen=True):
    name: str
    kind: MeasurementKind
    last_data: LastData | None = None
    last_error: LastError | None = None


class ComponentConfig(_Section, frozen=True):
    """`capabilities` is a bit set: 0x2 = has measurements."""

    id: ComponentId
    device: str
    description: str
    capabilities: UInt32
    presence: Presence
    sensors: tuple[SensorConfig, ...] = ()


class GimletComponentConfig(ComponentConfig, frozen=True):
    serial_console: str | None = None

    def __post_init__(self) -> None:
        if self.serial_console is not None:
            SocketAddr.parse(self.serial_console)


class Caboose(_Section, frozen=True):
    git_commit: str
    board: str
    name: str
    version: str
    sign: str | None = None
    epoch: str | None = None


class Cabooses(_Section, frozen=True):
    sp_slot_0: Caboose | None = None
    sp_slot_1: Caboose | None = None
    rot_slot_a: Caboose | None = None
    rot_slot_b: Caboose | None = None
    stage0: Caboose | None = None
    stage0_next: Caboose | None = None


class Ereport(msgspec.Struct, frozen=True):
    """What every ereport has; its other keys are free."""

    task_name: str
    task_gen: UInt32
    uptime: Timestamp


class EreportConfig(_Section, frozen=True):
    """`restart_id` None: a random one at each start."""

    restart_id: UUID | None = None
    metadata: dict[str, Any] = {}
    ereports: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for ereport in self.ereports:
            msgspec.convert(ereport, Ereport)


class SpConfig(_Section, frozen=True):
    """What is said of any service processor."""

    serial_number: str
    manufacturing_root_cert_seed: Seed
    device_id_cert_seed: Seed
    part_number: str | None = None
    network_config: tuple[NetworkConfig, NetworkConfig] | None = None
    ereport_network_config: tuple[NetworkConfig, NetworkConfig] | None = None
    old_rot_state: bool = False
    no_stage0_caboose: bool = False
    ereport_config: EreportConfig = EreportConfig()
    cabooses: Cabooses = Cabooses()


class SidecarConfig(SpConfig, frozen=True):
    components: tuple[ComponentConfig, ...] = ()


class GimletConfig(SpConfig, frozen=True):
    components: tuple[GimletComponentConfig, ...] = ()


class SimulatedSps(_Section, frozen=True):
    """Position in its list is the slot: the first sidecar is switch 0, the first gimlet sled 0."""

    sidecar: tuple[SidecarConfig, ...]
    gimlet: tuple[GimletConfig, ...]


class SpSimConfig(_Section, frozen=True):
    """The whole file. `log` is read as upstream's is, and has no effect: gateways log where the stack does."""

    simulated_sps: SimulatedSps
    log: LogConfig = LogConfig()


def load_sp_sim(path: Path) -> SpSimConfig:
    """Read an sp-sim file. Raises SpSimError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpSimError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpSimError(f"{path} is not TOML: {error}") from None
    for complaint in _unknown_keys(document, msgspec.inspect.type_info(SpSimConfig), at=""):
        raise SpSimError(f"{path}: {complaint}")
    try:
        config = msgspec.convert(document, SpSimConfig)
    except msgspec.ValidationError as error:
        reason, _, at = str(error).rpartition(" - at `$.")
        raise SpSimError(f"{path}: {at.rstrip('`')}: {reason}" if reason else f"{path}: {error}") from None
    for complaint in _duplicates(config):
        raise SpSimError(f"{path}: {complaint}")
    return config


def _unknown_keys(value: object, expected: msgspec.inspect.Type, *, at: str) -> Iterator[str]:
    """A complaint for each key that no type knows, with the nearest one that it does."""
    match expected, value:
        case msgspec.inspect.StructType(fields=fields), dict():
            known = {field.encode_name: field.type for field in fields}
            for key, member in value.items():
                if key in known:
                    yield from _unknown_keys(member, known[key], at=f"{at}.{key}" if at else key)
                else:
                    (nearest,) = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                    yield f"unknown key {key}{f' in {at}' if at else ''}; the nearest known one is {nearest}"
        case msgspec.inspect.VarTupleType(item_type=item), list():
            for index, member in enumerate(value):
                yield from _unknown_keys(member, item, at=f"{at}[{index}]")
        case msgspec.inspect.TupleType(item_types=items), list():
            for index, (member, item) in enumerate(zip(value, items, strict=False)):
                yield from _unknown_keys(member, item, at=f"{at}[{index}]")
        case msgspec.inspect.UnionType(types=alternatives), _:
            for alternative in alternatives:
                yield from _unknown_keys(value, alternative, at=at)


def _duplicates(config: SpSimConfig) -> Iterator[str]:
    """Serial numbers and component ids are how the rest of the control plane tells things apart."""
    serials: set[str] = set()
    sps: tuple[SidecarConfig | GimletConfig, ...] = (*config.simulated_sps.sidecar, *config.simulated_sps.gimlet)
    for sp in sps:
        if sp.serial_number in serials:
            yield f"serial_number {sp.serial_number} is used twice"
        serials.add(sp.serial_number)
        components: set[str] = set()
        for component in sp.components:
            if component.id in components:
                yield f"{sp.serial_number} has two components {component.id}"
            components.add(component.id)
