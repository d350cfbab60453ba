"""What a running stack is: where everything listens, as plain data.

`omicron-dev run-all --json` prints it, `status` and `env` read it, and `xtask.banner` draws it. Addresses are text, as
a client wants them: `[::1]:12221`; URLs start with a scheme; files and directories are
absolute paths.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

import msgspec


class NexusFacts(msgspec.Struct, frozen=True):
    """A Nexus that the launcher started, running or not. It keeps its addresses from one start to the next."""

    id: UUID
    external_address: str
    internal_address: str
    pid: int
    """Of its process, or of the last one that it had."""
    log: str
    config: str
    """Its configuration file, which is read at each start of it."""


class DatabaseFacts(msgspec.Struct, frozen=True):
    """`kind` labels the lines of the summary."""

    kind: str
    pid: int
    url: str
    address: str
    directory: str
    log: str


class DnsFacts(msgspec.Struct, frozen=True):
    zone: str
    http_url: str
    address: str


class GatewayFacts(msgspec.Struct, frozen=True):
    switch: str
    url: str
    log: str


class SiloFacts(msgspec.Struct, frozen=True):
    """The login that the stack was made with. The password is public: it is the same for every stack."""

    name: str
    user: str
    password: str


class StackFacts(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    pid: int
    directory: str
    log: str
    nexuses: list[NexusFacts]
    database: DatabaseFacts
    internal_dns: DnsFacts
    external_dns: DnsFacts
    gateways: list[GatewayFacts]
    silo: SiloFacts
    second_nexus_config: str


ServiceState: TypeAlias = Literal["starting", "standby", "running", "paused", "stopped", "killed", "expunged", "exited"]


ENDED: frozenset[ServiceState] = frozenset({"stopped", "killed", "expunged", "exited"})


class ServiceStatus(msgspec.Struct, frozen=True):
    """One service as its owner, the launcher, sees it; whether it answers is for the reader to try.

    A Nexus on `standby` waits for the handoff. `paused`, `stopped` and `killed` were asked for, `exited` was not. One
    that is `expunged` was stopped for that, or had ended, and cannot be started again. `detail` says what it waits for
    or how it ended.
    """

    name: str
    protocol: Literal["http", "nexus", "dns", "postgres"]
    state: ServiceState
    address: str
    pid: int
    uptime_s: float
    detail: str = ""


class NexusOutcome(msgspec.Struct, frozen=True):
    """What became of a Nexus that a command was about: `outcome` goes on from its name, as in `is paused`."""

    name: str
    facts: NexusFacts
    outcome: str


class StackStatus(msgspec.Struct, frozen=True):
    facts: StackFacts
    uptime_s: float
    services: list[ServiceStatus]

    def environment(self, nexus: NexusFacts) -> dict[str, str]:
        """The variables that point omdb at this stack: its database, its DNS, its first gateway, and that Nexus."""
        return {
            "OMDB_NEXUS_URL": f"http://{nexus.internal_address}",
            "OMDB_DB_URL": self.facts.database.url,
            "OMDB_DNS_SERVER": self.facts.internal_dns.address,
            "OMDB_MGS_URL": self.facts.gateways[0].url,
        }
