"""Saga types: made by name from JSON, and declared in modules of the user's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest
from saga_lab import KeptLog

from nexus.errors import InvalidRequest, ServiceUnavailable
from nexus.saga import (
    Action,
    ActionContext,
    DagBuilder,
    InMemorySecStore,
    OutcomeUnknown,
    SagaDag,
    SagaId,
    Sec,
    SecId,
    StoreUnavailable,
)
from nexus.sagas.bulk import create_sagas
from nexus.sagas.catalog import open_catalog
from nexus.sagas.modules import load_saga_types
from nexus.sagas.saga_types import SagaType, SagaTypeError, SagaTypes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import trio

    from nexus.db.pool import Pool
    from nexus.saga.injection import Injection


class Params(msgspec.Struct, frozen=True):
    size: int = 1
    names: tuple[str, ...] = ()


async def act(context: ActionContext[Params]) -> None:
    pass


ACT = Action("mine.act", act, params=Params)
STRANGER = Action("strange.act", act, params=Params)


def dag(params: Params) -> SagaDag:
    builder = DagBuilder("mine")
    for name in params.names:
        builder.append(ACT.node(name))
    return builder.append(ACT.node("last")).build(params)


def raising_dag(_params: Params) -> SagaDag:
    raise RuntimeError("boom")


def no_dag(_params: Params) -> SagaDag:
    return []  # type: ignore[return-value]


class Vague:
    """Default parameters that there are at the start, and then no more."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> Params:
        if self.asked:
            raise RuntimeError("not today")
        self.asked = True
        return Params()


MINE = SagaType("mine", Params, dag, [ACT], default_params=Params)


def test_params_make_the_dag() -> None:
    types = SagaTypes([MINE])
    one, two = types.dags("mine", b'{"size": 3, "names": ["a"]}', count=2)
    assert one is two
    assert one.params == b'{"size":3,"names":["a"]}'
    assert one.find("a") == 0
    assert [dag.params for dag in types.dags("mine", None, count=1)] == [b'{"size":1,"names":[]}']
    assert types.sample("mine") == dag(Params())


def _no_pool() -> Pool:
    raise AssertionError("nothing is run")


def test_every_demo_saga_has_an_id_of_its_own() -> None:
    one, two = open_catalog([], find_pool=_no_pool).types.dags("demo", None, count=2)
    assert one.params != two.params


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("mnie", None, 'no saga type is called "mnie"; the nearest known one is "mine"'),
        ("quite_another", None, 'no saga type is called "quite_another"; known are mine, given, raising, other, vague'),
        ("raising", b"{}", 'saga type "raising": dag() raised RuntimeError: boom'),
        ("vague", None, 'saga type "vague": default_params() or dag() raised RuntimeError: not today'),
        ("other", b"{}", 'saga type "other": dag() returned list, which is no SagaDag'),
        ("mine", b'{"size": "big"}', "params.size: Expected `int`, got `str`"),
        ("mine", b'{"names": ["a", 3]}', "params.names[1]: Expected `str`, got `int`"),
        ("mine", b"[]", "params: Expected `object`, got `array`"),
        ("given", None, 'sagas of type "given" need parameters'),
        ("given", b'{"names": ["last"]}', "name was used multiple times"),
        ("unregistered", b"{}", "actions not registered here: mine.act"),
    ],
)
def test_what_cannot_be_made_says_why(name: str, params: bytes | None, message: str) -> None:
    given = SagaType("given", Params, dag, [ACT])
    raising = SagaType("raising", Params, raising_dag, [ACT])
    other = SagaType("other", Params, no_dag, [ACT])
    vague = SagaType("vague", Params, dag, [ACT], default_params=Vague())
    unregistered = SagaType("unregistered", Params, dag, [])
    types = SagaTypes([unregistered] if name == "unregistered" else [MINE, given, raising, other, vague])
    with pytest.raises(InvalidRequest) as caught:
        types.dags(name, params, count=1)
    assert message in str(caught.value)


def test_types_that_contradict_each_other() -> None:
    with pytest.raises(SagaTypeError, match='two saga types are called "mine"'):
        SagaTypes([MINE, MINE])
    other = SagaType("other", Params, dag, [Action("mine.act", act, params=Params)])
    with pytest.raises(SagaTypeError, match=r'saga type "other": another action is called "mine\.act"'):
        SagaTypes([MINE, other])
    with pytest.raises(SagaTypeError, match=r'^saga type "mine": dag\(\) returned list, which is no SagaDag$'):
        SagaTypes([SagaType("mine", Params, no_dag, [ACT], default_params=Params)])
    broken = SagaType("mine", Params, dag, [STRANGER], default_params=Params)
    with pytest.raises(
        SagaTypeError, match="no DAG for its default parameters: UnrunnableSaga: actions not registered"
    ):
        SagaTypes([broken])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('x\\ny')", "cannot be imported: ValueError: x y"),
        ("", "declares nothing: SAGA_TYPES is not a list of saga types"),
        ("SAGA_TYPES = []", "declares nothing"),
        ("SAGA_TYPES = [3]", "SAGA_TYPES holds 3, which is no SagaType"),
    ],
)
def test_a_module_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    (tmp_path / "broken_sagas.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_sagas", raising=False)
    with pytest.raises(SagaTypeError) as caught:
        load_saga_types(["broken_sagas"])
    assert str(caught.value).startswith("saga module broken_sagas")
    assert message in str(caught.value)
    monkeypatch.delitem(sys.modules, "broken_sagas", raising=False)


class Refusing(Sec):
    """Makes `left` sagas, then has no database."""

    def __init__(self, left: int, error: StoreUnavailable) -> None:
        super().__init__(
            SecId(UUID(int=1)), store=InMemorySecStore(), registry=SagaTypes([MINE]).registry, log=KeptLog()
        )
        self.left = left
        self.error = error

    async def create(self, saga_id: SagaId, dag: SagaDag, *, injections: Sequence[Injection] = ()) -> None:
        if not self.left:
            raise self.error
        self.left -= 1


async def test_a_bulk_that_is_cut_short_says_how_far_it_came(autojump_clock: trio.testing.MockClock) -> None:
    dags = SagaTypes([MINE]).dags("mine", None, count=400)
    assert len(set(await create_sagas(Refusing(400, OutcomeUnknown("gone")), dags))) == 400
    with pytest.raises(ServiceUnavailable, match="of 400 sagas 300 were created, then: the store is away"):
        await create_sagas(Refusing(300, StoreUnavailable("the store is away")), dags)
    with pytest.raises(StoreUnavailable, match="the store is away"):
        await create_sagas(Refusing(0, StoreUnavailable("the store is away")), dags[:1])
