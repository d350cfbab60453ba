"""All sagas that one Nexus process can make and run: the built-in ones and those of the user's modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.sagas.demo import DemoSagas
from nexus.sagas.holds import Holds
from nexus.sagas.modules import load_saga_types
from nexus.sagas.provision import ProvisionSagas
from nexus.sagas.saga_types import SagaTypes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nexus.db.pool import Pool


@dataclass(frozen=True, slots=True)
class SagaCatalog:
    types: SagaTypes
    demo_sagas: DemoSagas
    holds: Holds


def open_catalog(module_names: Iterable[str], *, find_pool: Callable[[], Pool]) -> SagaCatalog:
    """Import the user's modules. `find_pool` is asked when an action needs the database. Raises SagaTypeError."""
    holds = Holds()
    demo_sagas = DemoSagas(holds)
    provision_sagas = ProvisionSagas(find_pool, holds)
    types = SagaTypes([demo_sagas.saga_type, provision_sagas.saga_type, *load_saga_types(module_names)])
    return SagaCatalog(types, demo_sagas, holds)
