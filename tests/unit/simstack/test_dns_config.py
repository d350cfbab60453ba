"""The configuration on the wire and the rules of its generations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from simstack.dns.config import (
    AAAA,
    NS,
    SRV,
    A,
    DnsConfig,
    DnsConfigParams,
    DnsConfigParamsV1,
    DnsConfigZone,
    DnsRecord,
    IncompatibleRecord,
    Srv,
    StaleGeneration,
)
from simstack.dns.store import DnsStore
from simstack.dns.zone import Answer, InvalidZone

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = CREATED + timedelta(hours=1)


def params(generation: int, *, address: str = "127.0.0.1", serial: int = 5) -> DnsConfigParams:
    zone = DnsConfigZone("Example.TEST", {"www": (A(address),), "empty": ()})
    return DnsConfigParams(generation, serial, CREATED, (zone,))


def new_store() -> DnsStore:
    return DnsStore(now=lambda: NOW)


def test_a_fresh_store_is_at_generation_0() -> None:
    assert new_store().config == DnsConfig(0, 0, NOW, NOW, ())


def test_a_newer_generation_replaces_everything() -> None:
    store = new_store()
    store.apply(params(1))
    assert store.apply(params(7, address="127.0.0.2"))
    assert store.config == DnsConfig(
        generation=7,
        serial=5,
        time_created=CREATED,
        time_applied=NOW,
        zones=(DnsConfigZone("example.test", {"www": (A("127.0.0.2"),)}),),
    )
    assert store.catalog.lookup((b"www", b"example", b"test"), "A") == Answer((A("127.0.0.2"),))


def test_the_current_generation_changes_nothing_and_is_not_even_looked_at() -> None:
    store = new_store()
    store.apply(params(3))
    before = store.config
    assert not store.apply(params(3, address="127.0.0.9", serial=9))
    assert store.config is before


def test_an_older_generation_is_refused_in_upstreams_words() -> None:
    store = new_store()
    store.apply(params(3))
    with pytest.raises(StaleGeneration) as caught:
        store.apply(params(2))
    assert str(caught.value) == "unsupported attempt to update to generation 2 while at generation 3"
    assert store.config.generation == 3


def test_a_configuration_that_cannot_be_served_leaves_the_old_one() -> None:
    store = new_store()
    store.apply(params(1))
    with pytest.raises(InvalidZone):
        store.apply(DnsConfigParams(2, 2, CREATED, (DnsConfigZone("", {}),)))
    assert store.config.generation == 1


async def test_waiting_ends_when_the_generation_is_served() -> None:
    store = new_store()
    reached: list[int] = []

    async def wait(generation: int) -> None:
        await store.wait_generation(generation)
        reached.append(generation)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for generation in (0, 1, 2, 4):
                nursery.start_soon(wait, generation)
            await wait_all_tasks_blocked()
            assert reached == [0]
            store.apply(params(1))
            await wait_all_tasks_blocked()
            assert sorted(reached) == [0, 1]
            store.apply(params(9))
    assert sorted(reached) == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (A("127.0.0.1"), b'{"type":"A","data":"127.0.0.1"}'),
        (AAAA("0:0::1"), b'{"type":"AAAA","data":"::1"}'),
        (
            SRV(Srv(port=1, target="t", prio=2, weight=3)),
            b'{"type":"SRV","data":{"prio":2,"weight":3,"port":1,"target":"t"}}',
        ),
        (NS("ns1.t"), b'{"type":"NS","data":"ns1.t"}'),
    ],
)
def test_records_are_spelled_as_upstream_spells_them(record: DnsRecord, text: bytes) -> None:
    assert msgspec.json.encode(record) == text
    assert msgspec.json.decode(text, type=DnsRecord) == record


@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"A","data":"::1"}',
        b'{"type":"A","data":"127.0.0.256"}',
        b'{"type":"AAAA","data":"127.0.0.1"}',
        b'{"type":"AAAA","data":"fe80::1%eth0"}',
        b'{"type":"SRV","data":{"port":65536,"target":"t","prio":0,"weight":0}}',
        b'{"type":"SRV","data":{"port":1,"target":"t","prio":0}}',
        b'{"type":"MX","data":"t"}',
        b'{"data":"127.0.0.1"}',
    ],
)
def test_a_bad_record_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=DnsRecord)


@pytest.mark.parametrize(
    ("member", "value"),
    [("generation", -1), ("generation", 2**64), ("serial", 2**32), ("time_created", "2026-01-01T00:00:00")],
)
def test_bad_numbers_and_times_are_refused(member: str, value: object) -> None:
    good = {"generation": 1, "serial": 1, "time_created": "2026-01-01T00:00:00Z", "zones": []}
    assert msgspec.convert(good, DnsConfigParams).generation == 1
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(good | {member: value}), type=DnsConfigParams)


def test_version_1_takes_its_generation_for_a_serial() -> None:
    text = b'{"generation":4,"time_created":"2026-01-01T00:00:00Z","zones":[]}'
    assert msgspec.json.decode(text, type=DnsConfigParamsV1).upgraded() == DnsConfigParams(4, 4, CREATED, ())
    with pytest.raises(ValueError, match="does not fit in a serial number"):
        DnsConfigParamsV1(2**32, CREATED, ()).upgraded()


def test_version_1_cannot_tell_of_name_servers() -> None:
    config = DnsConfig.empty(now=NOW)
    assert b"serial" not in msgspec.json.encode(config.replaced_by(params(1), now=NOW).downgraded())
    zone = DnsConfigZone("t", {"@": (A("127.0.0.1"), NS("ns1.t"))})
    with pytest.raises(IncompatibleRecord):
        config.replaced_by(DnsConfigParams(1, 1, CREATED, (zone,)), now=NOW).downgraded()
