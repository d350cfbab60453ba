"""The demo saga: one action that waits until somebody completes it, for trying out sagas and their recovery.

The action and whoever completes it meet in `DemoSagas`, by the demo saga's id. It lives in memory, one for each Nexus
process, so only the Nexus that runs a demo saga can complete it. All orders of the three parties work:

    register, wait, complete     the action goes on when completed
    register, complete, wait     it goes on at once: the permit was kept
    wait, complete               a recovered saga, which nobody registered in this process
    complete                     unknown; an action that comes later still waits

`complete` answers when the action's success is durable, and otherwise refuses; the permit is kept either way, so it may
be repeated, also after it succeeded. The action is held as every held action is (`nexus.sagas.holds`), so it may be
released by the saga's id, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import trio

from nexus.errors import Conflict, NotFound, ServiceUnavailable
from nexus.ids import DemoSagaId
from nexus.saga import Action, DagBuilder, SagaEnded, SagaId, SagaLost, SagaNotFound, SagaRunning
from nexus.sagas.saga_types import SagaType

if TYPE_CHECKING:
    from nexus.saga import ActionContext, SagaDag, Sec
    from nexus.sagas.holds import Holds

SAGA_NAME = "demo"
WAIT_NODE = "demo_wait"

COMPLETE_TIMEOUT_S = 5.0
"""How long `complete` waits for the success to become durable, which takes milliseconds while the database is there."""


MEETINGS_KEPT = 10_000
"""With more entries than this, those of sagas that the SEC has forgotten are dropped."""


class DemoParams(msgspec.Struct, frozen=True):
    id: DemoSagaId


class _Meeting:
    def __init__(self, saga_id: SagaId) -> None:
        self.saga_id = saga_id
        self.permit = trio.Event()
        self.succeeded = False


class DemoSagas:
    """The demo sagas of one Nexus process. Entries of sagas that succeeded stay as long as the SEC knows the saga, as
    completing again is no error.
    """

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._meetings: dict[DemoSagaId, _Meeting] = {}
        self._sweep_above = MEETINGS_KEPT
        self.wait_action = Action(f"{SAGA_NAME}.{WAIT_NODE}", self._wait, params=DemoParams)
        self.saga_type = SagaType(
            SAGA_NAME,
            DemoParams,
            self._dag,
            [self.wait_action],
            default_params=lambda: DemoParams(DemoSagaId(uuid4())),
        )

    async def create(self, sec: Sec) -> tuple[SagaId, DemoSagaId]:
        """Start a demo saga; returns once it is durable and runs. Raises what `Sec.create` does."""
        saga_id, demo_saga_id = SagaId(uuid4()), DemoSagaId(uuid4())
        await sec.create(saga_id, self._dag(DemoParams(demo_saga_id)))
        self.register(demo_saga_id, saga_id)
        self._drop_forgotten(sec)
        return saga_id, demo_saga_id

    def register(self, demo_saga_id: DemoSagaId, saga_id: SagaId) -> None:
        """Make it known, so that it can be completed before its action waits. May come after the action."""
        self._meetings.setdefault(demo_saga_id, _Meeting(saga_id))

    async def complete(self, demo_saga_id: DemoSagaId, sec: Sec) -> None:
        """Let the saga's action go on, and return when its success is durable.

        Raises NotFound for an id that is not known here, ServiceUnavailable (repeat it) if success is not durable in
        time or the saga may only just be being resumed, Conflict if the saga cannot succeed here any more.
        """
        meeting = self._meetings.get(demo_saga_id)
        if meeting is None:
            if self._is_resuming(sec):
                raise ServiceUnavailable("a recovered demo saga is only just being resumed; try again")
            raise NotFound(f"demo saga with demo saga id {demo_saga_id} (demo_saga)")
        if meeting.succeeded:
            return
        meeting.permit.set()
        try:
            with trio.move_on_after(COMPLETE_TIMEOUT_S):
                await sec.wait_succeeded(meeting.saga_id, WAIT_NODE)
                meeting.succeeded = True
                return
        except (SagaNotFound, SagaLost) as exc:
            # A permit that stays would complete the saga by surprise, should it come back.
            self._meetings.pop(demo_saga_id, None)
            raise Conflict(f"saga {meeting.saga_id} is not run by this Nexus any more: {exc}") from exc
        except SagaEnded as exc:
            raise Conflict(str(exc)) from exc
        raise ServiceUnavailable(
            f"saga {meeting.saga_id} was told to go on, but after {COMPLETE_TIMEOUT_S:g} s its completion is not in "
            "the database yet; it goes on when the database is there; try again to be sure"
        )

    def _dag(self, params: DemoParams) -> SagaDag:
        return DagBuilder(SAGA_NAME).append(self.wait_action.node(WAIT_NODE)).build(params)

    async def _wait(self, context: ActionContext[DemoParams]) -> None:
        self.register(context.params.id, context.saga_id)
        permit = self._meetings[context.params.id].permit
        await self._holds.wait(context.saga_id, context.node_name, permit)

    def _drop_forgotten(self, sec: Sec) -> None:
        if len(self._meetings) <= self._sweep_above:
            return
        self._meetings = {id_: meeting for id_, meeting in self._meetings.items() if _knows(sec, meeting.saga_id)}
        # So that a SEC that knows nearly all of them is not asked about each at every creation.
        self._sweep_above = max(MEETINGS_KEPT, 2 * len(self._meetings))

    def _is_resuming(self, sec: Sec) -> bool:
        """Whether a demo saga runs whose action has not said yet which one it is."""
        known = {meeting.saga_id for meeting in self._meetings.values()}
        return any(
            status.saga_name == SAGA_NAME
            and isinstance(status.state, SagaRunning)
            and status.state.waiting_for is None
            and status.saga_id not in known
            for status in sec.sagas(limit=_ALL)
        )


def _knows(sec: Sec, saga_id: SagaId) -> bool:
    try:
        sec.saga(saga_id)
    except SagaNotFound:
        return False
    return True


_ALL = 2**31
