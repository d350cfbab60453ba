"""Where actions wait until somebody releases them, to look at a saga, break something, or kill the process meanwhile.

In memory, one for each Nexus process: only the Nexus that runs a saga can release it, and an action that a recovery
calls again waits again. A release that comes before its action is kept for it, as long as the saga runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from nexus.errors import Conflict, InvalidRequest
from nexus.saga import SagaNotFound, SagaRunning
from nexus.saga.ids import NodeId
from nexus.saga.nodes import ActionNode

if TYPE_CHECKING:
    from nexus.saga import SagaId, Sec


class Holds:
    def __init__(self) -> None:
        self._waiting: dict[SagaId, dict[str, trio.Event]] = {}
        self._released: dict[SagaId, set[str]] = {}

    def held(self, saga_id: SagaId) -> list[str]:
        """The nodes whose actions wait."""
        return sorted(self._waiting.get(saga_id, ()))

    async def wait(self, saga_id: SagaId, node_name: str, permit: trio.Event | None = None) -> None:
        """Return once the node is released, or `permit` is set by whoever else has it."""
        if node_name in self._released.get(saga_id, ()):
            self._released[saga_id].remove(node_name)
            return
        event = trio.Event() if permit is None else permit
        waiting = self._waiting.setdefault(saga_id, {})
        waiting[node_name] = event
        try:
            await event.wait()
        finally:
            if waiting.get(node_name) is event:
                del waiting[node_name]
            if not waiting and self._waiting.get(saga_id) is waiting:
                del self._waiting[saga_id]

    def release(self, saga_id: SagaId, node_name: str | None, sec: Sec) -> list[str]:
        """Let one action go on, now or when it comes to wait; or all that wait now. Returns their nodes.

        Raises SagaNotFound, Conflict for a saga that does not run here, InvalidRequest if it has no such node.
        """
        status = sec.saga(saga_id)
        if not isinstance(status.state, SagaRunning) or status.state.waiting_for is not None:
            raise Conflict(f"saga {saga_id} does not run here: nothing of it is to be released")
        self._forget_ended(sec)
        waiting = self._waiting.get(saga_id, {})
        if node_name is None:
            for event in waiting.values():
                event.set()
            return sorted(waiting)
        dag = sec.details(saga_id).dag
        node_id = dag.find(node_name)
        if node_id is None or not isinstance(dag.nodes[node_id], ActionNode):
            known = [
                dag.node_name(NodeId(index)) for index, node in enumerate(dag.nodes) if isinstance(node, ActionNode)
            ]
            raise InvalidRequest(
                f'saga {saga_id} has no node "{node_name}" that calls an action; those that do are {", ".join(known)}'
            )
        if node_name in waiting:
            waiting[node_name].set()
        else:
            self._released.setdefault(saga_id, set()).add(node_name)
        return [node_name]

    def _forget_ended(self, sec: Sec) -> None:
        for saga_id in [*self._released]:
            try:
                ended = not isinstance(sec.saga(saga_id).state, SagaRunning)
            except SagaNotFound:
                ended = True
            if ended:
                del self._released[saga_id]
