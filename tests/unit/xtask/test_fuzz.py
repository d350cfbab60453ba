"""`xtask fuzz`: how examples are cut into rounds, and what a failure tells."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from xtask import fuzz
from xtask.cli import run
from xtask.fuzz import ROOT, ROUND, SAGA_TESTS, Result, Round, rounds

if TYPE_CHECKING:
    import pytest


def test_rounds_have_seeds_of_their_own() -> None:
    assert rounds(2 * ROUND + 1, 7) == [Round(7, ROUND), Round(8, ROUND), Round(9, 1)]


def test_a_failure_ends_it_and_says_how_to_replay_its_round(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Round] = []

    def run_round(round_: Round) -> Result:
        ran.append(round_)
        return Result(round_, passed=round_.seed != 8, seconds=1.0, output="what pytest says")

    monkeypatch.setattr(fuzz, "_run", run_round)
    assert run(["fuzz", "sagas", "--examples", str(5 * ROUND), "--seed", "7"]) == 1
    out = capsys.readouterr().out
    assert "1,000 of 5,000; seed 7: 1.0 s" in out
    assert out.endswith(
        "what pytest says\n"
        "fuzz: FAILED with seed 8; to replay it: python -m xtask fuzz sagas --seed 8 --examples 1000\n"
    )
    assert ran[:2] == [Round(7, ROUND), Round(8, ROUND)]


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fuzz", "sagas", "--examples", "3", "--seed", "1"]) == 0
    assert capsys.readouterr().out.endswith("fuzz: passed\n")


def test_every_test_that_is_run_takes_its_number_of_examples_from_here() -> None:
    for test in SAGA_TESTS:
        path, name = test.split("::")
        tree = ast.parse((ROOT / path).read_text())
        (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        assert any(isinstance(each, ast.Name) and each.id == "FUZZED" for each in function.decorator_list)
