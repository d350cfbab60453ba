"""The trio shell of one saga: carries out what its `SagaExecution` says.

The order of every step is the durability guarantee:

1. `record()` the event in the execution (which refuses an illegal one) and enqueue it to the log, in one go;
2. go on: ask the execution what is due;
3. but before *calling any action or undo action*, and before the end is shown, wait until everything enqueued for
   this saga is durable.

So the log that a crash leaves behind knows of every call that was ever begun, and no call is begun after an event that
the log may lose. Start, End and constants call nothing and never wait. And since every call is preceded by a write, one
that a recovery repeats too, a process whose claim was superseded before that write begins no call; for the moment
between the write and the call, and for a call under way, there is the fencing token.

Cancellation is a crash: nothing is shielded, and an error that comes of being cancelled is not a failure.

    run()  calls one action or undo action after the other; for what is due at the same time it has a nursery. Whoever
           has made a call records its result, and makes one of the calls that have become due, until there is none
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from nexus.saga.action import ActionContext, ActionFailure
from nexus.saga.action_error import (
    ActionError,
    ActionFailed,
    DeserializeFailed,
    InjectedError,
    SerializeFailed,
    UndoActionError,
    action_error_to_json,
)
from nexus.saga.errors import PayloadMismatch, SagaEnded, SagaError, UnrunnableSaga, UnstorablePayload
from nexus.saga.execution import Finish, Pass, RunAction, RunUndo
from nexus.saga.ids import NodeId
from nexus.saga.injection import Injections
from nexus.saga.log import EventKind, NodeEvent, NodeStatus
from nexus.saga.nodes import ActionNode
from nexus.saga.payload import JsonValue, decode, encode, printable, to_json_value
from nexus.saga.status import NodeDetails
from nexus.saga.store import NodeAttempt, StateUpdate, StoredState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexus.saga.action import ActionRegistry, AnyAction
    from nexus.saga.errors import SagaLost
    from nexus.saga.execution import Outcome, SagaExecution
    from nexus.saga.logger import Logger
    from nexus.saga.store import CallKind, LogWrite, SagaLogWriter, StoredSaga

T = TypeVar("T")

REPEATED: JsonValue = {"message": "succeeded, and called again as an injection asked for"}

MAX_MESSAGE = 10_000
"""Characters of an error's text that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRetries:
    """How often, by one process, an undo action is called while its error is transient, and the pauses between."""

    calls: int = 10
    first_pause_s: float = 0.1
    longest_pause_s: float = 30.0


class SagaExecutor:
    """Runs one saga under one claim. Made for one `run`; for a saga that is in the store already, `resume` first."""

    def __init__(
        self,
        execution: SagaExecution,
        saga_log: SagaLogWriter,
        *,
        registry: ActionRegistry,
        undo_retries: UndoRetries,
        log: Logger,
        crash: Callable[[], None],
    ) -> None:
        self.execution = execution
        self.claim = saga_log.claim
        self.injections = Injections()
        self._crash = crash
        self._dying = False  # an injected crash has come: nothing is enqueued any more
        self._death_begun = False
        self._saga_id = execution.saga_id
        self._saga_log = saga_log
        self._registry = registry
        self._undo_retries = undo_retries
        self._log = log
        self._attempts: dict[tuple[NodeId, CallKind], int] = {}  # how many are recorded
        self._since: dict[NodeId, float] = {}
        self._stored_state = StoredState.RUNNING
        self._calling: set[NodeId] = set()
        self._succeeded: dict[NodeId, trio.Event] = {}
        self._outcome: Outcome | None = None  # recorded, but shown only when it is durable
        self._refusal: SagaError | None = None
        self._ended = False

    def resume(self, stored: StoredSaga) -> None:
        """Take over what is stored beside the events."""
        self._stored_state = stored.state
        for attempt in stored.attempts:
            key = attempt.node_id, attempt.kind
            self._attempts[key] = max(attempt.attempt, self._attempts.get(key, 0))

    async def run(self) -> Outcome:
        """Run the saga to its end, and return that when it is durable.

        Raises SagaLost or WriteRefused, with every call cancelled, if the store takes no more writes of this saga, and
        UnrunnableSaga, likewise, if the parameters of a subsaga do not decode as its actions want them.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._saga_log.on_refused(partial(self._stop, nursery.cancel_scope))
                self._note_interrupted_calls()
                await self._make_calls(nursery, self._go_on(nursery))
            if self._refusal is None:
                await self._durable()
                assert self._outcome is not None, "every call has ended, recorded how, and gone on"
                return self._outcome
        except* SagaError:
            if self._refusal is None:
                raise
        finally:
            self._ended = True
            self._wake()
        assert self._refusal is not None, "nothing else cancels the nursery's scope"
        raise self._refusal

    def lose(self, lost: SagaLost) -> None:
        """Stop: the claim is not in force any more. Who waits for a node is told, also of a saga that was never run."""
        self._saga_log.refuse(lost)
        self._refusal = self._refusal or lost
        self._wake()

    async def wait_succeeded(self, node_id: NodeId) -> None:
        """Wait until the node's `succeeded` is durable.

        Raises SagaEnded if the saga came to its end without, SagaLost or WriteRefused if that stopped it.
        """
        # Once an injected crash has come, what succeeds is not written any more, and nothing is acknowledged.
        while self._dying or not self.execution.has_succeeded(node_id):
            if self._refusal is not None:
                raise self._refusal
            if self._ended:
                name = self.execution.dag.node_name(node_id)
                raise SagaEnded(f'saga {self._saga_id} is not running any more, and its node "{name}" did not succeed')
            await self._succeeded.setdefault(node_id, trio.Event()).wait()
        await self._saga_log.durable()

    def _wake(self) -> None:
        for event in self._succeeded.values():
            event.set()

    def nodes(self) -> tuple[NodeDetails, ...]:
        """Every node as it is now, by node id; the end of what has happened last may not be durable yet."""
        return tuple(self._node_details(NodeId(index)) for index in range(len(self.execution.dag.nodes)))

    def _node_details(self, node_id: NodeId) -> NodeDetails:
        return NodeDetails(
            self.execution.dag.node_name(node_id),
            self.execution.status(node_id),
            self._since.get(node_id),
            self._attempts.get((node_id, "action"), 0),
            self._attempts.get((node_id, "undo"), 0),
        )

    def _stop(self, scope: trio.CancelScope, error: SagaError) -> None:
        if self._refusal is None:
            self._refusal = error
        scope.cancel()

    async def _make_calls(self, nursery: trio.Nursery, call: RunAction | RunUndo | None) -> None:
        while call is not None:
            try:
                event = await self._make_call(call)
            except UnrunnableSaga as error:
                self._stop(nursery.cancel_scope, error)
                return
            self._calling.remove(call.node_id)
            self._record(event)
            call = self._go_on(nursery)

    def _go_on(self, nursery: trio.Nursery) -> RunAction | RunUndo | None:
        """Start what is due and not under way, but for one call, which is left to the caller's task: most have no more.

        The others are in `run`'s nursery: a call ends with the saga, not with its cause.
        """
        left: RunAction | RunUndo | None = None
        for command in self._due_calls():
            node_id = command.node_id
            if node_id in self._calling:
                continue
            self._calling.add(node_id)
            match command, self.execution.status(node_id):
                case RunAction(), NodeStatus.NEVER_STARTED:
                    self._record(NodeEvent.started(self._saga_id, node_id))
                case RunUndo(), NodeStatus.SUCCEEDED:
                    self._record(NodeEvent.undo_started(self._saga_id, node_id))
                case _:
                    pass  # it had begun when the process before this one died
            if left is not None:
                nursery.start_soon(self._make_calls, nursery, left)
            left = command
        if self._dying and not self._death_begun:
            self._death_begun = True
            nursery.start_soon(self._die)
        return left

    def _due_calls(self) -> list[RunAction | RunUndo]:
        """Whatever calls nothing is passed on the way, and the end is enqueued in the same batch as what led to it."""
        while True:
            calls: list[RunAction | RunUndo] = []
            passed = False
            for command in self.execution.next_commands():
                match command:
                    case Pass(_, events):
                        for event in events:
                            self._record(event)
                        passed = True
                    case RunAction() | RunUndo():
                        calls.append(command)
                    case Finish(outcome):
                        self._outcome = outcome
                        self._enqueue(StateUpdate(StoredState.DONE))
            if not passed:
                return calls

    async def _make_call(self, call: RunAction | RunUndo) -> NodeEvent:
        """Raises UnrunnableSaga, having called nothing."""
        node = self.execution.dag.nodes[call.node_id]
        assert isinstance(node, ActionNode), "only action nodes call anything"
        action = self._registry[node.action_name]
        context = self._context(call.node_id, action)
        match call:
            case RunAction():
                return await self._call_action(call.node_id, action, context)
            case RunUndo():
                return await self._call_undo(call.node_id, action, context)

    async def _call_action(self, node_id: NodeId, action: AnyAction, context: ActionContext[object]) -> NodeEvent:
        if self.injections.fails(node_id, "action"):
            return NodeEvent.failed(self._saga_id, node_id, InjectedError())
        for call in range(self.injections.calls(node_id, "action")):
            if call:
                self._note_attempt(node_id, "action", error=REPEATED)
            await self._durable()
            try:
                output = await _call(action.run, context)
            except Exception as error:
                self._log_failure("action failed", node_id, error)
                return NodeEvent.failed(self._saga_id, node_id, _action_error(error))
        try:
            return NodeEvent.succeeded(self._saga_id, node_id, encode(output))
        except UnstorablePayload as error:
            self._log_failure("output of an action cannot be stored", node_id, error)
            return NodeEvent.failed(self._saga_id, node_id, SerializeFailed(printable(str(error))))

    async def _call_undo(self, node_id: NodeId, action: AnyAction, context: ActionContext[object]) -> NodeEvent:
        if self.injections.fails(node_id, "undo"):
            return NodeEvent.undo_failed(self._saga_id, node_id, UndoActionError({"message": "error injected"}))
        if action.undo is None:
            return NodeEvent.undo_finished(self._saga_id, node_id)
        for call in range(self.injections.calls(node_id, "undo")):
            if call:
                self._note_attempt(node_id, "undo", error=REPEATED)
            undo_error = await self._call_undo_until_it_ends(node_id, action.undo, context)
            if undo_error is not None:
                return NodeEvent.undo_failed(self._saga_id, node_id, undo_error)
        return NodeEvent.undo_finished(self._saga_id, node_id)

    async def _call_undo_until_it_ends(
        self, node_id: NodeId, undo: Callable[[ActionContext[object]], Awaitable[None]], context: ActionContext[object]
    ) -> UndoActionError | None:
        """Call it again while its error is transient. Returns the error that makes the saga stuck, if there is one."""
        pause_s = self._undo_retries.first_pause_s
        for call in range(1, self._undo_retries.calls + 1):
            await self._durable()
            try:
                await _call(undo, context)
            except Exception as error:
                attempt = self._attempts.get((node_id, "undo"), 0) + 1
                self._log_failure("undo action failed", node_id, error, attempt=attempt)
                if call == self._undo_retries.calls or not getattr(error, "retryable", False):
                    return _undo_error(error, attempt=attempt)
                self._note_attempt(node_id, "undo", error={"message": _told(error)})
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._undo_retries.longest_pause_s)
            else:
                break
        return None

    def _context(self, node_id: NodeId, action: AnyAction) -> ActionContext[object]:
        """Raises UnrunnableSaga for parameters that are not of the type the action wants, and the saga halts.

        Those of the saga were checked before; those of a subsaga are known only once the node that produces them has
        succeeded. Nothing is wrong with the action, so that is no failure to unwind for.
        """
        name = self.execution.dag.node_name(node_id)
        try:
            params = decode(self.execution.params(node_id), action.params)
        except PayloadMismatch as error:
            reason = f'parameters of node "{name}" do not decode as {action.name} wants them: {error}'
            raise UnrunnableSaga(reason) from error
        return ActionContext(
            saga_id=self._saga_id,
            claim=self.claim.number,
            node_name=name,
            params=params,
            find_output=partial(self.execution.output, seen_from=node_id),
        )

    def _record(self, event: NodeEvent) -> None:
        """Record and enqueue, with no `await` in between, so that no other task sees the one without the other."""
        crash = self.injections.crash(event.node_id, event.kind)
        self.execution.record(event)
        if crash == "before":
            self._dying = True
        self._enqueue(event)
        if crash == "after":
            self._dying = True
        self._since[event.node_id] = time.time()
        if event.kind is EventKind.FAILED:
            self._set_unwinding()
        if event.kind is EventKind.SUCCEEDED and event.node_id in self._succeeded:
            self._succeeded.pop(event.node_id).set()

    def _set_unwinding(self) -> None:
        if self._stored_state is StoredState.RUNNING:
            self._stored_state = StoredState.UNWINDING
            self._enqueue(StateUpdate(StoredState.UNWINDING))

    def _enqueue(self, write: LogWrite) -> None:
        if not self._dying:
            self._saga_log.enqueue(write)

    async def _durable(self) -> None:
        """Wait until all that was recorded is durable; that never comes for what an injected crash forestalls."""
        await self._saga_log.durable()
        if self._dying:
            await trio.sleep_forever()

    async def _die(self) -> None:
        """As an injection says: when all that was enqueued is durable, and nothing that was recorded since."""
        await self._saga_log.durable()
        self._log.warning("injected crash: this process ends", saga_id=str(self._saga_id))
        self._crash()
        await trio.sleep_forever()

    def _note_interrupted_calls(self) -> None:
        """What a recovery finds begun and will call again. Also makes sure that a write precedes each such call."""
        if self.execution.unwinding:
            self._set_unwinding()
        for index, node in enumerate(self.execution.dag.nodes):
            node_id = NodeId(index)
            if isinstance(node, ActionNode):
                match self.execution.status(node_id):
                    case NodeStatus.STARTED:
                        self._note_attempt(node_id, "action")
                    case NodeStatus.UNDO_STARTED if self._registry[node.action_name].undo is not None:
                        self._note_attempt(node_id, "undo")
                    case _:
                        pass

    def _note_attempt(self, node_id: NodeId, kind: CallKind, *, error: JsonValue = None) -> None:
        attempt = self._attempts.get((node_id, kind), 0) + 1
        self._attempts[node_id, kind] = attempt
        payload = None if error is None else encode(error)
        self._enqueue(NodeAttempt(self._saga_id, node_id, kind, attempt, payload))

    def _log_failure(self, sentence: str, node_id: NodeId, error: Exception, **fields: object) -> None:
        expected = isinstance(error, ActionFailure | UnstorablePayload) or getattr(error, "retryable", False)
        self._log.warning(
            sentence,
            saga_id=str(self._saga_id),
            node_id=node_id,
            node_name=self.execution.dag.node_name(node_id),
            error=printable(f"{type(error).__name__}: {error}"),
            exc_info=None if expected else error,
            **fields,
        )


async def _call(function: Callable[[ActionContext[object]], Awaitable[T]], context: ActionContext[object]) -> T:
    """Call an action or an undo action.

    If it turns its own cancellation into another error, or its tasks add errors to it, it has not failed: this process,
    or this saga in it, is being stopped. Then Cancelled is raised, and nothing else.
    """
    try:
        return await function(context)
    except Exception:
        await trio.lowlevel.checkpoint_if_cancelled()
        raise
    except BaseExceptionGroup as errors:
        _, others = errors.split((Exception, trio.Cancelled))
        if others is None:
            await trio.lowlevel.checkpoint_if_cancelled()
        raise


def _action_error(error: Exception) -> ActionError:
    if isinstance(error, PayloadMismatch):
        return DeserializeFailed(_message(error))
    try:
        failed = ActionFailed(_source_error(error))
        encode(action_error_to_json(failed))  # as the log will hold it: a little larger and deeper
        return failed
    except UnstorablePayload as unstorable:
        return SerializeFailed(printable(f"the error of the action cannot be stored: {unstorable}"))


def _undo_error(error: Exception, *, attempt: int) -> UndoActionError:
    return UndoActionError({"message": f"undo action attempt {attempt}: {_told(error)}"})


def _source_error(error: Exception) -> JsonValue:
    """Raises UnstorablePayload."""
    if isinstance(error, ActionFailure):
        return to_json_value(encode(error.source_error))
    return {"message": _told(error)}


def _told(error: Exception) -> str:
    """With the type of an error that nobody chose for the log: `KeyError: 'disk'`."""
    message = _message(error)
    chosen = isinstance(error, ActionFailure) or message == type(error).__name__
    return message if chosen else f"{type(error).__name__}: {message}"


def _message(error: Exception) -> str:
    return printable(str(error) or type(error).__name__)[:MAX_MESSAGE]
