"""Actions: what the nodes of a saga call. An action is an async function; so is the undo action it may have.

    async def create_disk(context: ActionContext[ProvisionParams]) -> Disk:
        server = context.lookup("server", Server)
        return await disks.create(context.saga_id, server.id, context.params.size_gib)

    CREATE_DISK = Action("provision.create_disk", create_disk, undo=delete_disk, params=ProvisionParams)
    builder.append(CREATE_DISK.node("disk"))

Parameters and outputs are any type that msgspec can decode. An action is called at least once, so it must be
idempotent: keyed by `context.saga_id` and `context.node_name`, both the same in every call, and together different from
those of every other node. What it talks to can refuse a stale process by `context.claim`, which only ever rises (a
fencing token).

It fails its node by raising: `ActionFailure` with an error of its own making, or anything else. An undo action that
raises an error whose attribute `retryable` is true is called again after a while; any other error makes the saga stuck.

This module calls nothing; see `executor.py`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from nexus.saga.errors import PayloadMismatch, UnrunnableSaga
from nexus.saga.ids import NodeId
from nexus.saga.nodes import ActionNode
from nexus.saga.payload import Payload, decode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from nexus.saga.dag import SagaDag
    from nexus.saga.ids import SagaId

P = TypeVar("P")
T = TypeVar("T")


class ActionFailure(Exception):
    """Raised by an action, with an error that goes into the log as it is: anything that can be stored as JSON.

    From an undo action, `retryable` asks for another call.
    """

    def __init__(self, source_error: object, *, retryable: bool = False) -> None:
        super().__init__(source_error)
        self.source_error = source_error
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class ActionContext(Generic[P]):
    """What an action, or an undo action, is told."""

    saga_id: SagaId
    claim: int
    """The fencing token: higher than that of every process that held the saga before."""

    node_name: str
    """Unique in the saga: in a subsaga, the names of those that it is in come first (`volume/disk`)."""

    params: P
    """The saga's parameters, or the subsaga's."""

    find_output: Callable[[str], Payload]
    """The undecoded output of an ancestor; see `lookup`."""

    def lookup(self, node_name: str, type_: type[T]) -> T:
        """The output of an ancestor in the same saga or subsaga, or for an undo action its own.

        Raises OutputNotFound (a bug in the saga), or PayloadMismatch if it is not of that type; left alone, either
        fails the node.
        """
        return decode(self.find_output(node_name), type_)


@dataclass(frozen=True, slots=True)
class Action(Generic[P, T]):
    """An action and its undo action, by the name under which DAGs know it: `<saga>.<action>`."""

    name: str
    run: Callable[[ActionContext[P]], Awaitable[T]]
    params: type[P]
    undo: Callable[[ActionContext[P]], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        for function in (self.run, self.undo):
            if function is not None and not _is_async(function):
                raise TypeError(f"action {self.name}: {function!r} is no async function")

    def node(self, name: str, *, label: str | None = None) -> ActionNode:
        """A node that calls this action and whose output is called `name`.

        The label is upstream's unless given: `demo.demo_wait` is `DemoWait`.
        """
        words = self.name.rpartition(".")[2].split("_")
        return ActionNode(name, label or "".join(word.capitalize() for word in words), self.name)


def _is_async(function: Callable[..., object]) -> bool:
    """What is called, and only then found not to be awaitable, has done something that nobody undoes."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


AnyAction: TypeAlias = Action[Any, Any]


class ActionRegistry:
    """Every action that this process knows, by name."""

    def __init__(self, actions: Iterable[AnyAction]) -> None:
        self._actions: dict[str, AnyAction] = {}
        for action in actions:
            if action.name in self._actions:
                raise ValueError(f"two actions are called {action.name}")
            self._actions[action.name] = action

    def __getitem__(self, name: str) -> AnyAction:
        return self._actions[name]

    def check(self, dag: SagaDag) -> None:
        """Whether this process can run the saga, as far as its DAG tells. Raises UnrunnableSaga with the reason."""
        if dag.unknown_kinds:
            raise UnrunnableSaga(f"kinds of nodes that are not known here: {', '.join(dag.unknown_kinds)}")
        nodes = [(NodeId(index), node) for index, node in enumerate(dag.nodes) if isinstance(node, ActionNode)]
        missing = sorted({node.action_name for _, node in nodes if node.action_name not in self._actions})
        if missing:
            raise UnrunnableSaga(f"actions not registered here: {', '.join(missing)}")
        for name in dict.fromkeys(node.action_name for node_id, node in nodes if dag.subsaga_of(node_id) is None):
            try:
                decode(dag.params, self._actions[name].params)
            except PayloadMismatch as error:
                raise UnrunnableSaga(f"parameters do not decode as {name} wants them: {error}") from error
