"""Sagas as `omdb nexus sagas` shows them. Pure."""

from __future__ import annotations

from omdb.render.tables import empty_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.clients.nexus import SagaSummary
    from omdb.render.text import Line

_STATES = ("running", "succeeded", "failed", "stuck")


def saga_table(sagas: Sequence[SagaSummary]) -> list[Line]:
    rows = [(saga.id, (saga.state, saga.state if saga.state in _STATES else "")) for saga in sagas]
    return empty_table(("SAGA_ID", "STATE"), rows)
