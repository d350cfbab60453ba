"""Injections: faults that somebody asks for, to see what a saga makes of them. Pure.

    Fail(node, "action")        the action is not called, its node fails with `InjectedError`
    Fail(node, "undo")          the undo action is not called, it fails for good: the saga is stuck
    Repeat(node, "action", 3)   called three times in all, the last output counts; likewise "undo"
    CrashAt(node, SUCCEEDED, "before")   the process dies instead of writing that event, all before it being durable
    CrashAt(node, SUCCEEDED, "after")    the process dies once that event is durable, and nothing after it

Injections are kept in memory, and die with the process: what recovers the saga knows nothing of them. One made while an
action is held or runs is in force for whatever begins after it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from nexus.saga.errors import InjectionRefused
from nexus.saga.ids import NodeId
from nexus.saga.log import EventKind, NodeStatus
from nexus.saga.nodes import ActionNode

if TYPE_CHECKING:
    from nexus.saga.execution import SagaExecution
    from nexus.saga.store import CallKind

When: TypeAlias = Literal["before", "after"]

MAX_REPEATS = 1_000

S, E = NodeStatus, EventKind


@dataclass(frozen=True, slots=True)
class Fail:
    node_name: str
    call: CallKind


@dataclass(frozen=True, slots=True)
class Repeat:
    node_name: str
    call: CallKind
    times: int


@dataclass(frozen=True, slots=True)
class CrashAt:
    node_name: str
    event: EventKind
    when: When


Injection: TypeAlias = Fail | Repeat | CrashAt


@dataclass(frozen=True, slots=True)
class InjectionState:
    injection: Injection
    fired: bool


def describe(injection: Injection) -> str:
    """One line for the log."""
    match injection:
        case Fail(node_name, call):
            return f'fail the {call} of "{node_name}"'
        case Repeat(node_name, call, times):
            return f'call the {call} of "{node_name}" {times} times'
        case CrashAt(node_name, event, when):
            return f'crash {when} "{event}" of "{node_name}" is durable'
    assert_never(injection)


class Injections:
    """Those of one saga. At most one of a kind for each call, or event: a later one takes the place of an earlier one
    that has not fired.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[type, NodeId, str], Injection] = {}
        self._fired: list[Injection] = []

    def add(self, injection: Injection, execution: SagaExecution) -> None:
        """Raises InjectionRefused if it is certain that it would never fire."""
        node_id = execution.dag.find(injection.node_name)
        if node_id is None:
            names = [execution.dag.node_name(NodeId(index)) for index in range(len(execution.dag.nodes))]
            close = difflib.get_close_matches(injection.node_name, names, n=1)
            known = f'the nearest is "{close[0]}"' if close else f"those it has are {', '.join(names)}"
            raise InjectionRefused(f'saga {execution.saga_id} has no node "{injection.node_name}"; {known}')
        if not isinstance(injection, CrashAt) and not isinstance(execution.dag.nodes[node_id], ActionNode):
            raise InjectionRefused(f'node "{injection.node_name}" calls nothing')
        if isinstance(injection, Repeat) and not 2 <= injection.times <= MAX_REPEATS:
            raise InjectionRefused(f"a repeated call is made 2 to {MAX_REPEATS} times, not {injection.times}")
        status = execution.status(node_id)
        if not _may_fire(injection, status, unwinding=execution.unwinding):
            raise InjectionRefused(f'it is too late to {describe(injection)}: the node\'s status is "{status}"')
        self._waiting[_key(injection, node_id)] = injection

    def fails(self, node_id: NodeId, call: CallKind) -> bool:
        """Whether this call is to fail. Asked where the call would be made: then the injection has fired."""
        return self._fire((Fail, node_id, call)) is not None

    def calls(self, node_id: NodeId, call: CallKind) -> int:
        """How often the call is to be made."""
        repeat = self._fire((Repeat, node_id, call))
        return repeat.times if isinstance(repeat, Repeat) else 1

    def crash(self, node_id: NodeId, event: EventKind) -> When | None:
        """Whether the process is to die at this event, and on which side of it."""
        crash = self._fire((CrashAt, node_id, event))
        return crash.when if isinstance(crash, CrashAt) else None

    def states(self) -> tuple[InjectionState, ...]:
        """Fired ones first."""
        return (
            *(InjectionState(injection, True) for injection in self._fired),
            *(InjectionState(injection, False) for injection in self._waiting.values()),
        )

    def _fire(self, key: tuple[type, NodeId, str]) -> Injection | None:
        injection = self._waiting.pop(key, None)
        if injection is not None:
            self._fired.append(injection)
        return injection


def _key(injection: Injection, node_id: NodeId) -> tuple[type, NodeId, str]:
    return type(injection), node_id, injection.event if isinstance(injection, CrashAt) else injection.call


def _may_fire(injection: Injection, status: NodeStatus, *, unwinding: bool) -> bool:
    """Whether what it waits for may still come."""
    match injection:
        case CrashAt(_, E.STARTED, _) | Fail(_, "action") | Repeat(_, "action", _):
            return status is S.NEVER_STARTED and not unwinding
        case CrashAt(_, E.SUCCEEDED | E.FAILED, _):
            return status is S.STARTED or (status is S.NEVER_STARTED and not unwinding)
        case CrashAt(_, E.UNDO_FINISHED | E.UNDO_FAILED, _):
            return status in (S.STARTED, S.SUCCEEDED, S.UNDO_STARTED) or (status is S.NEVER_STARTED and not unwinding)
        case CrashAt(_, E.UNDO_STARTED, _) | Fail(_, "undo") | Repeat(_, "undo", _):
            return status in (S.STARTED, S.SUCCEEDED) or (status is S.NEVER_STARTED and not unwinding)
    raise AssertionError(f"{injection}: no such injection")
