"""Actions: what the nodes of a saga call. An action is an async function; so is the undo action it may have.

    async def create_disk(context: ActionContext[ProvisionParams]) -> Disk:
        server = context.lookup("server", Server)
        return await disks.create(context.saga_id, server.id, context.params.size_gib)

    CREATE_DISK = Action("provision.create_disk", create_disk, undo=delete_disk, params=ProvisionParams)
    builder.append(CREATE_DISK.node("disk"))

Parameters and outputs are any type that msgspec can decode. An action is called at least once, so it must be
idempotent: keyed by `context.saga_id` and `context.node_name`, both the same in every call. What it talks to can
refuse a stale process by `context.claim`, which only ever rises (a fencing token).

It fails its node by raising: `ActionFailure` with an error of its own making, or anything else. An undo action that
raises an error whose attribute `retryable` is true is called again after a while; any other error makes the saga stuck.

This module calls nothing; see `executor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from nexus.saga.dag import ActionNode, SagaDag
from nexus.saga.errors import PayloadMismatch, UnrunnableSaga
from nexus.saga.payload import Payload, decode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

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
    params: P
    """The saga's parameters."""

    find_output: Callable[[str], Payload]
    """The undecoded output of an ancestor; see `lookup`."""

    def lookup(self, node_name: str, type_: type[T]) -> T:
        """The output of an ancestor, or for an undo action its own.

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

    def node(self, name: str, *, label: str | None = None) -> ActionNode:
        """A node that calls this action and whose output is called `name`.

        The label is upstream's unless given: `demo.demo_wait` is `DemoWait`.
        """
        words = self.name.rpartition(".")[2].split("_")
        return ActionNode(name, label or "".join(word.capitalize() for word in words), self.name)


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
        """Whether this process can run the saga. Raises UnrunnableSaga with the reason."""
        actions: Mapping[str, AnyAction | None] = {
            node.action_name: self._actions.get(node.action_name) for node in dag.nodes if isinstance(node, ActionNode)
        }
        missing = sorted(name for name, action in actions.items() if action is None)
        if missing:
            raise UnrunnableSaga(f"actions not registered here: {', '.join(missing)}")
        for action in actions.values():
            assert action is not None, "checked above"
            try:
                decode(dag.params, action.params)
            except PayloadMismatch as error:
                raise UnrunnableSaga(f"parameters do not decode as {action.name} wants them: {error}") from error
