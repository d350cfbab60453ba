"""What the saga engine raises. One tree, so that a caller can catch `SagaError`.

`retryable` means: the same call may succeed later, nothing is wrong with the saga. Only `UnrecoverableSaga` is a
permanent fault of a saga itself; a recovery that ends in any other error has changed nothing that a later one could
not do again. How an *action* fails is not here: that is data, see `nexus.saga.action_error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from nexus.saga.ids import SagaId, SecId
    from nexus.saga.store import Claim


class SagaError(Exception):
    retryable: ClassVar[bool] = False


class UnstorablePayload(SagaError):
    """A value that cannot be kept as JSON by every store, with the reason."""


class PayloadMismatch(SagaError):
    """JSON that is not of the type that was asked for."""


class DagBuildError(SagaError):
    """`building saga "<name>": <reason>`, with upstream's reasons."""

    def __init__(self, saga_name: str, reason: str) -> None:
        super().__init__(f'building saga "{saga_name}": {reason}')
        self.saga_name = saga_name
        self.reason = reason


class InvalidDag(SagaError):
    """A serialized DAG that is not one."""


class IllegalEvent(SagaError):
    """An event that the saga's log cannot hold. Names saga, node, status and event."""


class CorruptLog(SagaError):
    """A stored event that cannot be read."""


class UnrunnableSaga(SagaError):
    """This process cannot run the saga: an action is not registered here, or its parameters do not decode."""


class OutputNotFound(SagaError):
    """An action asked for the output of a node that is none of its ancestors: a bug in the saga."""


class SagaNotFound(SagaError):
    def __init__(self, saga_id: SagaId) -> None:
        super().__init__(f"no such saga: {saga_id}")
        self.saga_id = saga_id


class DetailsGone(SagaError):
    """The saga is listed, but ended so long ago that no more than its end is in memory."""

    def __init__(self, saga_id: SagaId) -> None:
        super().__init__(f"saga {saga_id} has ended; of its nodes nothing is in memory any more")
        self.saga_id = saga_id


class SagaExists(SagaError):
    def __init__(self, saga_id: SagaId, where: str) -> None:
        super().__init__(f"saga {saga_id} exists already: {where}")
        self.saga_id = saga_id


class InjectionRefused(SagaError):
    """An injection that would never fire: no such node, or too late."""


class SagaEnded(SagaError):
    """The saga came to its end without what was waited for."""


class SecNotRunning(SagaError):
    """`Sec.run` was not started, or is being stopped."""

    retryable = True


class NewSagasRefused(SagaError):
    """Whoever runs the SEC wants no new sagas from it for now, or any more, with the reason."""

    retryable = True


class SagaLost(SagaError):
    """The claim under which a saga was to be read or written is not, or no longer, in force.

    Another SEC adopted the saga, this SEC id recovered it elsewhere or again, or the saga is done or abandoned.
    Nothing was written. `owner` is the SEC that holds it now, where it is known.
    """

    def __init__(self, saga_id: SagaId, reason: str, *, owner: SecId | None = None) -> None:
        super().__init__(f"saga {saga_id} {reason}")
        self.saga_id = saga_id
        self.reason = reason
        self.owner = owner


class WriteRefused(SagaError):
    """The store will never take this write, and so no later one of that saga: the saga halts, and stays listed."""


class SecSuperseded(SagaError):
    """Another process has this SEC id now. This one creates, claims and adopts nothing any more; what it held, it is
    losing.
    """

    retryable = True

    def __init__(self, sec_id: SecId) -> None:
        super().__init__(f"another process of SEC {sec_id} was started, and this one is ending")
        self.sec_id = sec_id


class StoreUnavailable(SagaError):
    """The store cannot be reached or did not answer in time. Nothing was written."""

    retryable = True


class OutcomeUnknown(StoreUnavailable):
    """The store went away while it was committing: what was to be written may be there or not."""


class UnrecoverableSaga(SagaError):
    """A DAG or a log that cannot be replayed, now or ever. The recovery that found it holds `claim`."""

    def __init__(self, claim: Claim, reason: str) -> None:
        super().__init__(f"saga {claim.saga_id} cannot be recovered: {reason}")
        self.claim = claim
        self.saga_id = claim.saga_id
        self.reason = reason
