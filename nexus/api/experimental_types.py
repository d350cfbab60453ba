"""Wire types of what upstream does not have: `/experimental` of the internal API. Pure data: no I/O, no clock."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec

MAX_CREATED_AT_ONCE = 10_000


class CreateSagas(msgspec.Struct, frozen=True):
    """`params` is left out for the default ones of the type."""

    name: str
    params: msgspec.Raw = msgspec.Raw()
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_CREATED_AT_ONCE)] = 1


class CreatedSagas(msgspec.Struct, frozen=True):
    saga_ids: list[UUID]


class ReleaseSaga(msgspec.Struct, frozen=True):
    """`node_name` is left out for all nodes that are held."""

    node_name: str | None = None


class ReleasedNodes(msgspec.Struct, frozen=True):
    node_names: list[str]


class DagNode(msgspec.Struct, frozen=True):
    """A node of a DAG. Start and End are called `(start node)` and `(end node)` and have no `action_name`."""

    node_id: int
    name: str
    label: str
    action_name: str | None
    parents: list[int]


class SagaTypeView(msgspec.Struct, frozen=True):
    """`params` is a JSON schema. Without default parameters there is no DAG to be shown: it depends on them."""

    name: str
    params: dict[str, Any]
    default_params: Any
    nodes: list[DagNode] | None
