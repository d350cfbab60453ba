"""The provision saga: ten actions, each with an undo action, for experiments with larger sagas.

    record ── disk, network ── attachment ── server ── health ── name
                    network: address ── interface, route ── firewall        (a subsaga)

Each action makes a resource in the database, by `nexus.db.provisioned`, which refuses a stale claim; its undo removes
it. The parameters say what is to go wrong, so that it goes wrong again after a crash:

    {"hold": ["disk"], "fail": ["server"], "fail_undo": ["network/route"]}

`hold`: the actions of these nodes wait until they are released. `fail`: they fail, having made nothing. `fail_undo`:
the undo actions of these fail, and the saga is stuck. While the database is away, actions wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec
import trio

from nexus.db.errors import DatabaseUnavailable
from nexus.db.provisioned import StaleClaim, make_resource, remove_resource
from nexus.errors import InvalidRequest
from nexus.saga import Action, ActionContext, ActionFailure, DagBuilder, constant, subsaga
from nexus.sagas.saga_types import SagaType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexus.db.connection import Connection
    from nexus.db.pool import Pool
    from nexus.saga import SagaDag, SagaId
    from nexus.sagas.holds import Holds

SAGA_NAME = "provision"

NETWORK = "network"
NETWORK_PARAMS = "network_params"

NODES = (
    "record",
    "disk",
    "network/address",
    "network/interface",
    "network/route",
    "network/firewall",
    "attachment",
    "server",
    "health",
    "name",
)
"""Those that call something, by the names that are unique in the saga."""

DATABASE_PAUSE_S = 0.25


class ProvisionParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hold: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    fail_undo: tuple[str, ...] = ()


Context: TypeAlias = ActionContext[ProvisionParams]


class ProvisionSagas:
    """The provision sagas of one Nexus process. `find_pool` is asked whenever an action is called."""

    def __init__(self, find_pool: Callable[[], Pool], holds: Holds) -> None:
        self._find_pool = find_pool
        self._holds = holds
        self._actions = {
            name: Action(f"{SAGA_NAME}.create_{name}", self._make, undo=self._remove, params=ProvisionParams)
            for name in (node.rpartition("/")[2] for node in NODES)
        }
        self.saga_type = SagaType(
            SAGA_NAME, ProvisionParams, self._dag, [*self._actions.values()], default_params=ProvisionParams
        )

    def _dag(self, params: ProvisionParams) -> SagaDag:
        for member in ("hold", "fail", "fail_undo"):
            for name in getattr(params, member):
                if name not in NODES:
                    raise InvalidRequest(f'params.{member}: a provision saga has no node "{name}"')
        node = {name: action.node(name) for name, action in self._actions.items()}
        network = (
            DagBuilder(NETWORK)
            .append(node["address"])
            .append_parallel([node["interface"], node["route"]])
            .append(node["firewall"])
        )
        return (
            DagBuilder(SAGA_NAME)
            .append_parallel([node["record"], constant(NETWORK_PARAMS, params)])
            .append_parallel([node["disk"], subsaga(NETWORK, network, params=NETWORK_PARAMS)])
            .append(node["attachment"])
            .append(node["server"])
            .append(node["health"])
            .append(node["name"])
            .build(params)
        )

    async def _make(self, context: Context) -> str:
        if context.node_name in context.params.hold:
            await self._holds.wait(context.saga_id, context.node_name)
        if context.node_name in context.params.fail:
            raise ActionFailure({"message": "asked to fail by the parameters"})
        await self._transact(make_resource, context)
        return f"{context.node_name} of {context.saga_id}"

    async def _remove(self, context: Context) -> None:
        if context.node_name in context.params.fail_undo:
            raise ActionFailure({"message": "asked to fail by the parameters"})
        await self._transact(remove_resource, context)

    async def _transact(self, change: _Change, context: Context) -> None:
        async def run(connection: Connection) -> None:
            await change(connection, context.saga_id, context.node_name, claim=context.claim)

        while True:
            try:
                return await self._find_pool().transaction(run)
            except DatabaseUnavailable:
                await trio.sleep(DATABASE_PAUSE_S)
            except StaleClaim as error:
                raise ActionFailure({"message": str(error)}) from error


if TYPE_CHECKING:
    from typing import Protocol

    class _Change(Protocol):
        def __call__(self, connection: Connection, saga_id: SagaId, name: str, /, *, claim: int) -> Awaitable[None]: ...
