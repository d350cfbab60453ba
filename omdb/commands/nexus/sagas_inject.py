"""`omdb nexus sagas inject`"""

from __future__ import annotations

from uuid import UUID

from nexus.api.experimental_types import CrashInjection, FailInjection, RepeatInjection
from nexus.clients.nexus import inject_into_saga
from nexus.saga.injection import MAX_REPEATS
from omdb.commands.nexus.saga_notes import saga_nexus
from omdb.errors import UsageError
from omdb.render.text import printable
from omdb.safety import DestructiveToken, check_destructive
from omdb.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.api.experimental_types import Event, Injection
    from omdb.nexus_connection import NexusConnection

_EVENTS: tuple[Event, ...] = ("started", "succeeded", "failed", "undo_started", "undo_finished", "undo_failed")

_MANY_DIGITS = 10
"""Python takes its time to read a number of thousands of digits, and then refuses it."""

_FAULTS = (
    "one of fail-action, fail-undo, repeat-action=N, repeat-undo=N, crash-before=EVENT, crash-after=EVENT"
    f" (EVENT: {', '.join(_EVENTS)})"
)


def inject(saga_id: UUID, node: str, fault: str, /, *, session: Session) -> int:
    """Break a running saga on purpose, in a node that is yet to come.

    `show` tells whether it has fired. This changes the state of Nexus, or ends its process, and needs -w.

    Parameters
    ----------
    saga_id
        The saga id that `list` prints.
    node
        The name of the node's output.
    fault
        fail-action, fail-undo, repeat-action=N, repeat-undo=N, crash-before=EVENT or crash-after=EVENT. N is how often
        the call is made in all, 2 to 1000. The process
        kills itself before or after that event of the node is durable; EVENT is started, succeeded, failed,
        undo_started, undo_finished or undo_failed.
    """
    injection = _injection(node, fault)
    nexus = saga_nexus(session)
    _inject(nexus, saga_id, injection, check_destructive(session.settings))
    return 0


def _injection(node: str, fault: str) -> Injection:
    kind, _, value = fault.partition("=")
    match kind:
        case "fail-action" | "fail-undo" if kind == fault:
            return FailInjection(node, "action" if kind == "fail-action" else "undo")
        case "repeat-action" | "repeat-undo" if value.isascii() and value.isdigit():
            times = int(value) if len(value) < _MANY_DIGITS else 0
            if not 2 <= times <= MAX_REPEATS:
                raise UsageError(
                    f'Invalid value "{printable(fault)}" for FAULT: a repeated call is made 2 to {MAX_REPEATS} times.'
                )
            return RepeatInjection(node, "action" if kind == "repeat-action" else "undo", times)
        case "crash-before" | "crash-after":
            for event in _EVENTS:
                if event == value:
                    return CrashInjection(node, event, "before" if kind == "crash-before" else "after")
    raise UsageError(f'Invalid value "{printable(fault)}" for FAULT: not {_FAULTS}.')


def _inject(nexus: NexusConnection, saga_id: UUID, injection: Injection, _: DestructiveToken) -> None:
    nexus.call(inject_into_saga(saga_id, injection))
