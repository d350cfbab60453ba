"""`omdb db saga show`"""

from __future__ import annotations

from uuid import UUID

from nexus.db.saga_reads import read_attempts, read_claims, read_dag, read_events
from nexus.saga.ids import SagaId
from omdb.commands.db.recorded_saga import find
from omdb.render.stored_sagas import (
    attempt_table,
    claim_table,
    ending,
    event_table,
    oddities,
    stored_nodes,
    stored_saga_table,
)
from omdb.render.text import line
from omdb.session import Session


def show(saga_id: UUID, /, *, session: Session) -> int:
    """Print all that is recorded of a saga: its DAG, its log, and who ran it.

    The log is in the order of its events. Below it: every claim of the saga, which says who could write the log from
    then on and why (created, recovered, adopted, injected, abandoned), and every call of an action or undo action
    that had to be made again.

    Parameters
    ----------
    saga_id
        The saga, be it running or at its end.
    """
    database = session.database()
    with database.reading() as connection:
        saga = find(connection, SagaId(saga_id))
        dag = read_dag(connection, saga.saga_id)
        events = read_events(connection, saga.saga_id)
        claims = read_claims(connection, saga.saga_id)
        attempts = read_attempts(connection, saga.saga_id)
    nodes = stored_nodes(dag)
    session.print([*stored_saga_table([saga]), (), *ending(saga, events), line(f"DAG: {dag}"), ()])
    session.print([*event_table(events, nodes), ()])
    session.print([*claim_table(saga, claims, events), (), *attempt_table(attempts, nodes)])
    odd = oddities(saga, nodes, claims, events)
    for each in odd:
        session.note(f"warning: {each}")
    return 1 if odd else 0
