"""Saga types: sagas that can be made by name, with parameters given as JSON.

    PROVISION = SagaType("provision", ProvisionParams, provision_dag, [CREATE_DISK, BOOT])

A saga type says how to make *new* sagas. Sagas that run keep the DAG they were made with, so changing a type changes
none of them; for those only its actions count.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from nexus.errors import InvalidRequest, NexusError
from nexus.saga import ActionRegistry, DagBuildError, SagaDag, UnrunnableSaga

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nexus.saga.action import AnyAction

P = TypeVar("P")


class SagaTypeError(Exception):
    """Saga types that cannot be used. One line for whoever wrote them."""


class SagaTypeFailed(InvalidRequest):
    """A saga type raised, or returned what it must not, when a saga was to be made. The cause has the traceback."""


@dataclass(frozen=True, slots=True)
class SagaType(Generic[P]):
    """How to make sagas of one name."""

    name: str
    params: type[P]
    """Any type that msgspec can decode."""

    dag: Callable[[P], SagaDag]
    actions: Sequence[AnyAction]
    """All that its DAGs call. Two types may share an action."""

    default_params: Callable[[], P] | None = None
    """Called for each saga that is made without parameters. Without it they must be given, and no DAG can be shown."""


AnySagaType: TypeAlias = SagaType[Any]


class SagaTypes:
    """Every saga type of this process, by name. Raises SagaTypeError for types that contradict themselves or others."""

    def __init__(self, types: Iterable[AnySagaType]) -> None:
        self._types: dict[str, AnySagaType] = {}
        actions: dict[str, AnyAction] = {}
        for saga_type in types:
            if saga_type.name in self._types:
                raise SagaTypeError(f'two saga types are called "{saga_type.name}"')
            self._types[saga_type.name] = saga_type
            for action in saga_type.actions:
                if actions.setdefault(action.name, action) is not action:
                    raise SagaTypeError(f'saga type "{saga_type.name}": another action is called "{action.name}"')
        self.registry = ActionRegistry(actions.values())
        """To be given to the SEC."""
        self._samples = {name: self._sample(saga_type) for name, saga_type in self._types.items()}

    def __iter__(self) -> Iterator[AnySagaType]:
        return iter(self._types.values())

    def sample(self, name: str) -> SagaDag | None:
        """The DAG of a saga made with the default parameters, if there are any."""
        return self._samples[name]

    def dags(self, name: str, params: bytes | None, *, count: int) -> list[SagaDag]:
        """The DAGs of `count` new sagas; `params` is JSON.

        Raises InvalidRequest: no such name, parameters that do not decode, or no DAG for these. It is a SagaTypeFailed
        if the fault is in the type.
        """
        saga_type = self._types.get(name)
        if saga_type is None:
            raise InvalidRequest(f'no saga type is called "{name}"; {_suggestion(name, self._types)}')
        try:
            if params is not None:
                return [self._build(saga_type, _decode(saga_type, params))] * count
            if saga_type.default_params is None:
                raise InvalidRequest(f'sagas of type "{name}" need parameters (omdb takes them as --params)')
            return [self._build(saga_type, saga_type.default_params()) for _ in range(count)]
        except (DagBuildError, UnrunnableSaga) as error:
            raise InvalidRequest(f'no "{name}" saga can be made with these parameters: {error}') from error
        except SagaTypeError as error:
            raise SagaTypeFailed(str(error)) from error
        except NexusError:
            raise
        except Exception as error:
            calls = "dag()" if params is not None else "default_params() or dag()"
            reason = f"{type(error).__name__}: {error}"
            raise SagaTypeFailed(f'saga type "{name}": {calls} raised {reason}') from error

    def _build(self, saga_type: AnySagaType, params: object) -> SagaDag:
        dag = saga_type.dag(params)
        if not isinstance(dag, SagaDag):
            returned = type(dag).__name__
            raise SagaTypeError(f'saga type "{saga_type.name}": dag() returned {returned}, which is no SagaDag')
        self.registry.check(dag)
        return dag

    def _sample(self, saga_type: AnySagaType) -> SagaDag | None:
        if saga_type.default_params is None:
            return None
        try:
            return self._build(saga_type, saga_type.default_params())
        except SagaTypeError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise SagaTypeError(f'saga type "{saga_type.name}": no DAG for its default parameters: {reason}') from error


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f'the nearest known one is "{close[0]}"' if close else f"known are {', '.join(names)}"


def _decode(saga_type: AnySagaType, params: bytes) -> object:
    try:
        value: object = msgspec.json.decode(params, type=saga_type.params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidRequest(f"params{path.removesuffix('`')}: {reason}") from None
    return value
