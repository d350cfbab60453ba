"""Saga types from the user's own modules, which `[sagas] modules` in the configuration names.

Such a module has a variable `SAGA_TYPES`, a list of `SagaType`. Its sagas are recovered like any other, by every Nexus
whose configuration names it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nexus.sagas.saga_types import SagaType, SagaTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexus.sagas.saga_types import AnySagaType

VARIABLE = "SAGA_TYPES"


def load_saga_types(module_names: Iterable[str]) -> list[AnySagaType]:
    """Import the modules and collect what they declare. Raises SagaTypeError, which names the module."""
    return [saga_type for name in module_names for saga_type in _declared(name)]


def _declared(module_name: str) -> list[AnySagaType]:
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever the user's code raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SagaTypeError(f"saga module {module_name} cannot be imported: {reason}") from error
    declared = getattr(module, VARIABLE, None)
    if not isinstance(declared, list | tuple) or not declared:
        raise SagaTypeError(f"saga module {module_name} declares nothing: {VARIABLE} is not a list of saga types")
    for item in declared:
        if not isinstance(item, SagaType):
            raise SagaTypeError(f"saga module {module_name}: {VARIABLE} holds {item!r:.100}, which is no SagaType")
    return [*declared]
