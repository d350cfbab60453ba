"""Who is in a stack and where it will listen, decided before it starts.

Reads one configuration file and tries which ports are free; everything else follows from the arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dropshot.address import SocketAddr
from dropshot.port_holder import describe_holder
from simstack import rack_setup
from simstack.errors import PortTaken, SimstackError
from simstack.loopback import IPV4, check_port, loopback_hosts
from simstack.nexus_config import NexusSettings, NexusTemplate
from simstack.shipped import config_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    ReservePort: TypeAlias = Callable[[Sequence[str]], int]

MAX_NEXUSES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusOptions:
    """Which Nexuses a stack has.

    `config` is the first one's file (default: `configs/config.toml`). `listen_port` replaces the port of its external
    API; 0 frees every port of every Nexus.
    """

    count: int = 1
    config: Path | None = None
    listen_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNexus:
    """A Nexus, and where its process is to listen. Ports may be 0."""

    id: UUID
    external_address: SocketAddr
    internal_address: SocketAddr


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    host: str
    """`::1`, or `127.0.0.1` on a host without IPv6."""
    database: SocketAddr
    internal_dns: SocketAddr
    template: NexusTemplate
    second_template: NexusTemplate
    launched: tuple[PlannedNexus, ...]
    second: PlannedNexus
    """In service from the start, but left for the user to start by hand."""

    def places(self) -> list[tuple[UUID, str]]:
        """Sled, and what `<silo>.sys` resolves to, of each Nexus that is in service from the start: those launched, and
        then the second.
        """
        first = rack_setup.SLED_IDS[0], self.launched[0].external_address.host
        numbers = [*range(2, len(self.launched) + 1), 1]
        return [first, *((rack_setup.SLED_IDS[1], rack_setup.discard_address(number)) for number in numbers)]

    def settings(
        self, planned: PlannedNexus, *, log: Path | None, gateways: tuple[SocketAddr, ...] = ()
    ) -> NexusSettings:
        """What is put into the configuration of a Nexus of this stack."""
        return NexusSettings(
            id=planned.id,
            external_address=planned.external_address,
            internal_address=planned.internal_address,
            database_url=f"postgresql://root@{self.database}/omicron?sslmode=disable",
            internal_dns=self.internal_dns,
            log=log,
            gateways=gateways,
        )


def plan_stack(options: NexusOptions, reserve_port: ReservePort) -> StackPlan:
    """`reserve_port` picks a port that is free on all of some hosts.

    Raises SimstackError: a bad option, a configuration file that cannot be used, a port that is taken."""
    if not 1 <= options.count <= MAX_NEXUSES:
        raise SimstackError(f"a stack has 1 to {MAX_NEXUSES} Nexuses, not {options.count}")
    if options.listen_port is not None and not 0 <= options.listen_port <= 65535:
        raise SimstackError(f"{options.listen_port} is not a port: expected 0 to 65535")
    hosts = loopback_hosts()
    template = NexusTemplate.read(options.config or config_file("config.toml"))
    second_template = NexusTemplate.read(config_file("config-second.toml"))
    any_port = options.listen_port == 0
    first = PlannedNexus(
        id=template.nexus_id,
        external_address=_with_port(template.external_address, options.listen_port),
        internal_address=_on_this_host(template.internal_address, hosts, any_port=any_port),
    )
    if first.id == rack_setup.SECOND_NEXUS_ID:
        raise SimstackError(f"{template.path}: the id {first.id} is the second Nexus', which is started by hand")
    others = (
        PlannedNexus(
            id=rack_setup.launched_nexus_id(number),
            external_address=SocketAddr(IPV4, 0),
            internal_address=SocketAddr(hosts[0], 0),
        )
        for number in range(2, options.count + 1)
    )
    second_internal = _on_this_host(second_template.internal_address, hosts, any_port=False)
    second = PlannedNexus(
        id=second_template.nexus_id,
        external_address=SocketAddr(IPV4, reserve_port([IPV4])) if any_port else second_template.external_address,
        internal_address=SocketAddr(hosts[0], reserve_port(hosts[:1])) if any_port else second_internal,
    )
    for address in (first.external_address, first.internal_address):
        _check_free(address)
    return StackPlan(
        host=hosts[0],
        database=SocketAddr(hosts[0], reserve_port(hosts)),
        internal_dns=SocketAddr(hosts[0], reserve_port(hosts[:1])),
        template=template,
        second_template=second_template,
        launched=(first, *others),
        second=second,
    )


def plan_another(host: str, reserve_port: ReservePort, *, number: int) -> PlannedNexus:
    """A Nexus that joins a stack which runs already. Nexus decides which sled and which external address it has."""
    return PlannedNexus(
        id=rack_setup.launched_nexus_id(number),
        external_address=SocketAddr(IPV4, reserve_port([IPV4])),
        internal_address=SocketAddr(host, reserve_port([host])),
    )


def _with_port(address: SocketAddr, port: int | None) -> SocketAddr:
    return address if port is None else SocketAddr(address.host, port)


def _on_this_host(address: SocketAddr, hosts: tuple[str, ...], *, any_port: bool) -> SocketAddr:
    """`address`, but on 127.0.0.1 where it is `[::1]` and this host has no IPv6."""
    host = IPV4 if address.is_ipv6 and hosts == (IPV4,) else address.host
    return SocketAddr(host, 0 if any_port else address.port)


def _check_free(address: SocketAddr) -> None:
    if address.port == 0:
        return
    try:
        check_port((address.host,), address.port)
    except PortTaken as exc:
        holder = describe_holder(address.port)
        by = f" by {holder}" if holder else ""
        raise PortTaken(f"{address} is in use{by}; `--nexus-listen-port 0` takes free ports") from exc
