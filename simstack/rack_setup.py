"""What rack setup decides before a control plane runs: ids, who is in service, the first silo. Pure data.

The launcher plays upstream's rack setup service: it seeds the DNS servers with generation 1 and hands all this to the
first Nexus (`PUT /racks/{rack_id}/initialization-complete`).
"""

from __future__ import annotations

from uuid import UUID, uuid5

SWITCH_SLOTS = (0, 1)
RACK_ID = UUID("c19a698f-c6f9-4a17-ae30-20d711b8f7dc")
SLED_IDS = (UUID("b6d65341-167c-41df-9b5c-41cded99c229"), UUID("039be560-54cc-49e3-88df-1a29dadbf913"))
SLED_SERIALS = ("SimGimlet00", "SimGimlet01")
SLED_PART = "i86pc"
SLED_REVISION = 0
"""Baseboards of the sleds: those that the default hardware has (`configs/sp-sim.toml`)."""

SECOND_NEXUS_ID = UUID("a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f")

EXTERNAL_DNS_ZONE = "oxide-dev.test"
SILO_NAME = "test-suite-silo"
PRIVILEGED_USER = "test-privileged"
PRIVILEGED_PASSWORD = "oxide"
PRIVILEGED_PASSWORD_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$YaVNPQ8dOCn/n5n+5hSKOQ$nbuG8EvdFEY8BVt6nkxXobxtfAtr7gF6m9/QbaJv1C0"
)
"""Argon2id, PHC form, of PRIVILEGED_PASSWORD: made once, since hashing it at each start would take 0.1 s."""


def launched_nexus_id(number: int) -> UUID:
    """Id of the `number`-th Nexus (from 2) that the launcher starts besides the first: the same in every stack."""
    return uuid5(RACK_ID, f"nexus {number}")


def discard_address(number: int) -> str:
    """What `<silo>.sys` resolves to for a Nexus that is not the first.

    All Nexuses of a stack listen on 127.0.0.1; an address of the discard prefix (RFC 6666) tells them apart in DNS.
    """
    return f"100::{number:x}"
