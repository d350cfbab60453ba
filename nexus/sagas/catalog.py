"""All sagas that one Nexus process can make and run: the built-in ones and those of the user's modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.sagas.demo import DemoSagas
from nexus.sagas.modules import load_saga_types
from nexus.sagas.saga_types import SagaTypes

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class SagaCatalog:
    types: SagaTypes
    demo_sagas: DemoSagas


def open_catalog(module_names: Iterable[str]) -> SagaCatalog:
    """Import the user's modules. Raises SagaTypeError."""
    demo_sagas = DemoSagas()
    return SagaCatalog(SagaTypes([demo_sagas.saga_type, *load_saga_types(module_names)]), demo_sagas)
