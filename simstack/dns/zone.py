"""What the served zones say about a name. Pure: configuration in, lookup out; packets are `wire.py`.

    Catalog.build(config) ── lookup(name, "AAAA") ──> Answer | NoData | NoSuchName | Failure

Where it departs from upstream, and why:
- the zone is the longest that matches, not the first in the configuration, so that the order of zones means nothing;
- a name that only has names below it (`_tcp`), and a zone's apex, exist: they answer "no data", not "no such name";
- record names match in any case, also those that were stored with capitals;
- negative results carry the zone's SOA.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from simstack.dns.config import AAAA, NS, SRV, A, DnsConfig, DnsConfigZone, DnsRecord
from simstack.dns.names import Name, check_length, folded, parse_name, parse_record_name, wire_length

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_ZONES = 1_000
"""A group has one zone; this bounds what a mistaken client can make a lookup structure of."""

MAX_NODE_BYTES = 60_000
"""All records of one name must fit in a DNS message (65,535 bytes) together with its question and an OPT record."""

_RECORD_OVERHEAD_BYTES = 12
"""Compressed owner name, type, class, TTL and length."""


@dataclass(frozen=True, slots=True)
class Soa:
    """A zone's start of authority, made from its NS records and the configuration's serial."""

    mname: Name
    rname: Name
    serial: int
    refresh: int = 3600
    retry: int = 600
    expire: int = 1800
    minimum: int = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """`additional`: names that the answer points to, in served zones, with all their records."""

    records: tuple[DnsRecord | Soa, ...]
    additional: tuple[tuple[Name, tuple[DnsRecord, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class NoData:
    """The name exists and has no record of the type. `soa` is None if the zone has no NS record to make one from."""

    apex: Name
    soa: Soa | None


@dataclass(frozen=True, slots=True)
class NoSuchName:
    apex: Name
    soa: Soa | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Not this server's to answer (SERVFAIL): resolvers try another server."""

    reason: str


Lookup: TypeAlias = Answer | NoData | NoSuchName | Failure


class InvalidZone(ValueError):
    """A configuration that cannot be served; says which zone and which name."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone. Keys are absolute, lower-case names."""

    apex: Name
    nodes: Mapping[Name, tuple[DnsRecord, ...]]
    non_terminals: frozenset[Name]
    soa: Soa | None

    def lookup(self, name: Name, kind: str) -> Lookup:
        if kind == "SOA" and name == self.apex:
            return Answer((self.soa,)) if self.soa else Failure("the zone has no name server to make a SOA record from")
        records = self.nodes.get(name)
        if records is None:
            exists = name == self.apex or name in self.non_terminals
            return NoData(self.apex, self.soa) if exists else NoSuchName(self.apex, self.soa)
        # The record classes are named as the types are.
        matching = records if kind == "ANY" else tuple(record for record in records if type(record).__name__ == kind)
        return Answer(matching) if matching else NoData(self.apex, self.soa)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every zone of one configuration, by apex."""

    zones: Mapping[Name, Zone]

    @classmethod
    def build(cls, config: DnsConfig) -> Catalog:
        """Check and index a configuration. Raises InvalidZone."""
        if len(config.zones) > MAX_ZONES:
            raise InvalidZone(f"{len(config.zones)} zones; {MAX_ZONES} is the most")
        zones: dict[Name, Zone] = {}
        for zone_config in config.zones:
            zone = _build_zone(zone_config, serial=config.serial)
            if zone.apex in zones:
                raise InvalidZone(f"zone {zone_config.zone_name!r} is configured twice")
            zones[zone.apex] = zone
        return cls(MappingProxyType(zones))

    def zone_of(self, name: Name) -> Zone | None:
        """The most specific zone that holds the (lower-case) name."""
        return next((zone for apex in _ancestry(name) if (zone := self.zones.get(apex))), None)

    def lookup(self, name: Name, kind: str) -> Lookup:
        """What is known of `name` (in any case) and `kind`: `A`, `SRV`, …, `SOA`, `ANY` or any other type's name."""
        name = folded(name)
        zone = self.zone_of(name)
        if zone is None:
            return Failure("the name is in no zone that is served here")
        match zone.lookup(name, kind):
            case Answer(records):
                return Answer(records, tuple(self._additional(name, records)))
            case negative:
                return negative

    def _additional(
        self, name: Name, records: Iterable[DnsRecord | Soa]
    ) -> Iterator[tuple[Name, tuple[DnsRecord, ...]]]:
        seen = {name}
        for record in records:
            match record:
                case SRV(data):
                    target = parse_name(data.target)
                case NS(data):
                    target = parse_name(data)
                case _:
                    continue
            key = folded(target)
            if key not in seen and (zone := self.zone_of(key)) and (found := zone.nodes.get(key)):
                seen.add(key)
                yield target, found


def _build_zone(config: DnsConfigZone, *, serial: int) -> Zone:
    try:
        apex = folded(parse_name(config.zone_name))
        if not apex:
            raise ValueError("the root cannot be served")
        mailbox = (b"admin", *apex)
        check_length(mailbox)
    except ValueError as error:
        raise InvalidZone(f"zone name {config.zone_name!r}: {error}") from None
    nodes: dict[Name, tuple[DnsRecord, ...]] = {}
    for relative, records in config.records.items():
        try:
            name = folded(parse_record_name(relative)) + apex
            check_length(name)
            if name in nodes:
                raise ValueError("there is another spelling of the same name")
            if (size := sum(_wire_size(record) for record in records)) > MAX_NODE_BYTES:
                raise ValueError(f"{len(records)} records of {size} bytes do not fit in a DNS message")
        except ValueError as error:
            raise InvalidZone(f"zone {config.zone_name!r}, name {relative!r}: {error}") from None
        if records:
            nodes[name] = tuple(records)
    servers = sorted(record.data for record in nodes.get(apex, ()) if isinstance(record, NS))
    soa = Soa(mname=parse_name(servers[0]), rname=mailbox, serial=serial) if servers else None
    return Zone(apex, MappingProxyType(nodes), _non_terminals(apex, nodes), soa)


def _wire_size(record: DnsRecord) -> int:
    """Bytes the record takes in a message. Raises ValueError if a name it holds is not one."""
    match record:
        case A():
            return _RECORD_OVERHEAD_BYTES + 4
        case AAAA():
            return _RECORD_OVERHEAD_BYTES + 16
        case SRV(data):
            return _RECORD_OVERHEAD_BYTES + 6 + _target_size(data.target)
        case NS(data):
            return _RECORD_OVERHEAD_BYTES + _target_size(data)


def _target_size(target: str) -> int:
    try:
        return wire_length(parse_name(target))
    except ValueError as error:
        raise ValueError(f"target {target!r}: {error}") from None


def _non_terminals(apex: Name, nodes: Mapping[Name, object]) -> frozenset[Name]:
    found: set[Name] = set()
    for name in nodes:
        for length in range(len(name) - 1, len(apex), -1):
            parent = name[-length:]
            if parent in found:
                break
            found.add(parent)
    return frozenset(found)


def _ancestry(name: Name) -> Iterator[Name]:
    """The name itself, then what it is in, up to the root."""
    return (name[start:] for start in range(len(name) + 1))
