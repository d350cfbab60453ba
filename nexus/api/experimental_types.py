"""Wire types of what upstream does not have: `/experimental` of the internal API. Pure data: no I/O, no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from nexus.api.types import SagaState
from nexus.deployment.edits import Edit

Call: TypeAlias = Literal["action", "undo"]
Event: TypeAlias = Literal["started", "succeeded", "failed", "undo_started", "undo_finished", "undo_failed"]

MAX_CREATED_AT_ONCE = 10_000


class FailInjection(msgspec.Struct, frozen=True, tag_field="kind", tag="fail"):
    """The action or undo action is not called; it fails."""

    node_name: str
    call: Call


class RepeatInjection(msgspec.Struct, frozen=True, tag_field="kind", tag="repeat"):
    """It is called `times` times in all."""

    node_name: str
    call: Call
    times: int


class CrashInjection(msgspec.Struct, frozen=True, tag_field="kind", tag="crash_at"):
    """The process kills itself before, or after, that event of the node is durable."""

    node_name: str
    event: Event
    when: Literal["before", "after"]


Injection: TypeAlias = FailInjection | RepeatInjection | CrashInjection


class CreateSagas(msgspec.Struct, frozen=True):
    """`params` is left out for the default ones of the type."""

    name: str
    params: msgspec.Raw = msgspec.Raw()
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_CREATED_AT_ONCE)] = 1
    injections: tuple[Injection, ...] = ()
    """Made in each of the sagas, before anything of it runs."""


class CreatedSagas(msgspec.Struct, frozen=True):
    saga_ids: list[UUID]


class EditBlueprint(msgspec.Struct, frozen=True):
    """Without `comment`, the child says what the edits are. `set_target`: it takes the place of its parent, which must
    be the target, and is executed if that is.
    """

    edits: Annotated[tuple[Edit, ...], msgspec.Meta(min_length=1)]
    comment: str | None = None
    set_target: bool = False


class ReleaseSaga(msgspec.Struct, frozen=True):
    """`node_name` is left out for all nodes that are held."""

    node_name: str | None = None


class ReleasedNodes(msgspec.Struct, frozen=True):
    node_names: list[str]
    held: bool = True
    """False for a node that was not held, and will not be."""


class DagNode(msgspec.Struct, frozen=True):
    """A node of a DAG. `name` is unique in the saga: in a subsaga, `volume/disk`. Only actions have an `action_name`.

    Start, also that of a subsaga, and End have no output, and are called `(start node)` and `(end node)`.
    """

    node_id: int
    name: str
    has_output: bool
    label: str
    action_name: str | None
    parents: list[int]


class SagaNode(DagNode, frozen=True):
    """`status` is that of the log. `since` is when the node got it, null if an earlier process saw that."""

    status: str
    since: datetime | None
    waiting_on: list[str]
    """The nodes that must succeed before this one starts."""

    held: bool
    """Its action waits to be released."""

    repeated_actions: int
    repeated_undos: int


class InjectionView(msgspec.Struct, frozen=True):
    injection: Injection
    fired: bool


class WaitingSaga(msgspec.Struct, frozen=True):
    """A running saga in the memory of its Nexus that does not go on there, and why."""

    id: UUID
    waiting_for: str


class SagaClaim(msgspec.Struct, frozen=True):
    """`reason` is why the claim was taken: created, recovered, adopted, injected or abandoned."""

    claim: int
    sec_id: UUID
    adopt_generation: int
    time: datetime
    reason: str


class SagaDetails(msgspec.Struct, frozen=True):
    """A saga in the memory of its Nexus, node by node. `waiting_for` says why it cannot go on there.

    `history` has every claim of the saga, from the database, the first one first; null if that does not answer.
    """

    id: UUID
    name: str
    state: SagaState
    unwinding: bool
    waiting_for: str | None
    sec_id: UUID
    claim: int
    params: Any
    nodes: list[SagaNode]
    injections: list[InjectionView]
    history: list[SagaClaim] | None


class SagaTypeView(msgspec.Struct, frozen=True):
    """`params` is a JSON schema. Without default parameters there is no DAG to be shown: it depends on them."""

    name: str
    params: dict[str, Any]
    default_params: Any
    nodes: list[DagNode] | None
