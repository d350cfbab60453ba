from __future__ import annotations

import sys

import pytest

from xtask import checks
from xtask.checks import CHECKS, GUARANTEES, IN_TWO_PROCESSES, LAYERING, Outcome, Step, summary
from xtask.cli import run


@pytest.mark.parametrize("arguments", [[], ["bench"]])
def test_a_group_alone_is_helped_on_stderr(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Usage: {' '.join(['xtask', *arguments])} COMMAND")


def test_help_that_was_asked_for_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out, err = capsys.readouterr()
    assert all(
        command in out
        for command in ("omicron-dev", "db-dev", "test", "check", "check-guarantees", "fuzz", "bench", "bootstrap")
    )
    assert err == ""


def test_bootstrap_prints_the_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bootstrap"]) == 0
    assert capsys.readouterr().out == f"{sys.executable}\n"


class TestChecks:
    @pytest.fixture
    def ran(self, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
        """What was run; the step named `types` fails."""
        steps: list[Step] = []

        def run_step(step: Step) -> Outcome:
            steps.append(step)
            return Outcome(step, status=1 if step.name == "types" else 0, seconds=0.1)

        monkeypatch.setattr(checks, "_run", run_step)
        return steps

    def test_check_runs_all_whichever_fails(self, ran: list[Step]) -> None:
        assert run(["check"]) == 1
        assert ran == [*CHECKS, LAYERING]

    def test_test_hands_its_arguments_to_pytest(self, ran: list[Step]) -> None:
        assert run(["test", "-k", "not slow", "-x", "tests/unit"]) == 1
        assert ran == [
            *CHECKS,
            Step("tests", ("-m", "pytest", *IN_TWO_PROCESSES, "-k", "not slow", "-x", "tests/unit")),
        ]

    def test_a_test_of_everything_checks_the_guarantees(self, ran: list[Step]) -> None:
        assert run(["test"]) == 1
        assert ran == [*CHECKS, Step("tests", ("-m", "pytest", *IN_TWO_PROCESSES)), GUARANTEES]

    def test_the_summary_says_how_to_run_what_failed(self) -> None:
        outcomes = [Outcome(CHECKS[0], status=0, seconds=0.04), Outcome(CHECKS[1], status=1, seconds=12.3)]
        assert summary(outcomes) == (
            "xtask: summary\n"
            "lint          0.0 s  passed\n"
            "format       12.3 s  FAILED with status 1: python -m ruff format --check\n"
        )
