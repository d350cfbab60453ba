"""What `import nexus.saga` costs and offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nexus.saga

ROOT = Path(__file__).parents[3]

RUN_A_SAGA = """
import sys
from uuid import UUID
import trio
from nexus.saga import Action, ActionRegistry, DagBuilder, InMemorySecStore, SagaId, SagaSucceeded, Sec, SecId

class Log:
    def info(self, sentence, /, **fields): pass

async def act(context):
    return 7

async def main():
    action = Action("a.act", act, params=dict)
    sec = Sec(SecId(UUID(int=1)), store=InMemorySecStore(), registry=ActionRegistry([action]), log=Log())
    async with trio.open_nursery() as nursery:
        await nursery.start(sec.run)
        await sec.create(SagaId(UUID(int=2)), DagBuilder("a").append(action.node("a")).build({}))
        assert (await sec.wait_ended(SagaId(UUID(int=2)))).state == SagaSucceeded()
        nursery.cancel_scope.cancel()

trio.run(main)
print(*sorted(sys.modules))
"""


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_a_saga_runs_with_no_other_module_of_nexus_loaded() -> None:
    loaded = modules_after(RUN_A_SAGA)
    ours = {name for name in loaded if name.split(".")[0] in ("dropshot", "nexus", "omdb", "simstack", "xtask")}
    assert {name for name in ours if not name.startswith("nexus.saga")} == {"nexus"}
    assert not loaded & {"psycopg", "structlog", "quart", "nexus.saga.postgres"}


@pytest.mark.parametrize("module", ["dag", "action", "log", "execution", "status", "payload", "errors"])
def test_the_pure_part_needs_no_trio(module: str) -> None:
    loaded = modules_after(f"import sys, nexus.saga.{module}; print(*sys.modules)")
    assert not loaded & {"trio", "psycopg", "asyncio"}


def test_every_public_name_is_there() -> None:
    assert list(nexus.saga.__all__) == sorted(nexus.saga.__all__, key=lambda name: (name.islower(), name))
    for name in nexus.saga.__all__:
        assert getattr(nexus.saga, name) is not None
    assert set(nexus.saga.__all__) == {name for names in nexus.saga._HOMES.values() for name in names}
    with pytest.raises(AttributeError):
        nexus.saga.SagaManager  # noqa: B018
