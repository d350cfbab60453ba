"""Wire types of the management gateway's API (`gateway-3.0.0`), as far as it is served here. Pure data."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

SpType: TypeAlias = Literal["sled", "power", "switch"]
PowerState: TypeAlias = Literal["A0", "A1", "A2"]
UInt8: TypeAlias = Annotated[int, Meta(ge=0, le=2**8 - 1)]
UInt16: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1)]
UInt32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
RotImageError: TypeAlias = Literal[
    "unchecked",
    "first_page_erased",
    "partially_programmed",
    "invalid_length",
    "header_not_programmed",
    "bootloader_too_small",
    "bad_magic",
    "header_image_size",
    "unaligned_length",
    "unsupported_type",
    "reset_vector_not_thumb2",
    "reset_vector",
    "signature",
]


class SpIdentifier(msgspec.Struct, frozen=True, order=True):
    """Which service processor: what it manages, and in which slot of the rack."""

    type: SpType
    slot: UInt16

    def __str__(self) -> str:
        return f"{self.type} {self.slot}"


class Gimlet(msgspec.Struct, frozen=True, tag_field="system_type", tag="gimlet"):
    pass


class Sidecar(msgspec.Struct, frozen=True, tag_field="system_type", tag="sidecar"):
    pass


SpIgnitionSystemType: TypeAlias = Gimlet | Sidecar


class IgnitionAbsent(msgspec.Struct, frozen=True, tag_field="present", tag="no"):
    pass


class IgnitionPresent(msgspec.Struct, frozen=True, tag_field="present", tag="yes"):
    id: SpIgnitionSystemType
    power: bool
    ctrl_detect_0: bool = True
    ctrl_detect_1: bool = True
    flt_a3: bool = False
    flt_a2: bool = False
    flt_rot: bool = False
    flt_sp: bool = False


SpIgnition: TypeAlias = IgnitionAbsent | IgnitionPresent


class SpIgnitionInfo(msgspec.Struct, frozen=True):
    id: SpIdentifier
    details: SpIgnition


class RotSlot(msgspec.Struct, frozen=True):
    slot: Literal["a", "b"]


class RotStateV2(msgspec.Struct, frozen=True, tag_field="state", tag="v2"):
    active: RotSlot
    persistent_boot_preference: RotSlot
    pending_persistent_boot_preference: RotSlot | None = None
    transient_boot_preference: RotSlot | None = None
    slot_a_sha3_256_digest: str | None = None
    slot_b_sha3_256_digest: str | None = None


class RotStateV3(msgspec.Struct, frozen=True, kw_only=True, tag_field="state", tag="v3"):
    active: RotSlot
    persistent_boot_preference: RotSlot
    pending_persistent_boot_preference: RotSlot | None = None
    transient_boot_preference: RotSlot | None = None
    slot_a_fwid: str
    slot_b_fwid: str
    stage0_fwid: str
    stage0next_fwid: str
    slot_a_error: RotImageError | None = None
    slot_b_error: RotImageError | None = None
    stage0_error: RotImageError | None = None
    stage0next_error: RotImageError | None = None


RotState: TypeAlias = RotStateV2 | RotStateV3


class SpState(msgspec.Struct, frozen=True):
    serial_number: str
    model: str
    revision: UInt32
    hubris_archive_id: str
    base_mac_address: tuple[UInt8, UInt8, UInt8, UInt8, UInt8, UInt8]
    power_state: PowerState
    rot: RotState
