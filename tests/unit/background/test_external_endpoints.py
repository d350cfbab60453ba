"""DNS names and the default endpoint, from silos and zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from nexus.background.tasks.external_endpoints import ExternalEndpoint, ExternalEndpoints, external_endpoints
from nexus.db.external_endpoints import SiloName
from nexus.ids import SiloId

CREATED = datetime(2026, 1, 2, tzinfo=UTC)


def silo(number: int, name: str, *, discoverable: bool = True) -> SiloName:
    return SiloName(SiloId(UUID(int=number)), name, discoverable, CREATED + timedelta(hours=number))


def endpoint(number: int) -> ExternalEndpoint:
    return ExternalEndpoint(SiloId(UUID(int=number)))


def test_no_silos_or_no_zones() -> None:
    nothing = ExternalEndpoints({}, None, ())
    assert external_endpoints([], zone_names=["oxide-dev.test"]) == nothing
    assert external_endpoints([silo(1, "a")], zone_names=[]).by_dns_name == {}


def test_a_name_for_each_silo_in_each_zone() -> None:
    found = external_endpoints([silo(2, "b"), silo(1, "a")], zone_names=["two.test", "one.test"])
    assert list(found.by_dns_name.items()) == [
        ("a.sys.one.test", endpoint(1)),
        ("a.sys.two.test", endpoint(1)),
        ("b.sys.one.test", endpoint(2)),
        ("b.sys.two.test", endpoint(2)),
    ]
    assert len(found.warnings) == 4
    assert found.warnings[0] == f"silo {UUID(int=1)} with DNS name a.sys.one.test has no certificates"


def test_the_default_is_the_oldest_discoverable_silo() -> None:
    silos = [silo(3, "c"), silo(1, "hidden", discoverable=False), silo(2, "z")]
    assert external_endpoints(silos, zone_names=["one.test"]).default_endpoint == endpoint(2)
