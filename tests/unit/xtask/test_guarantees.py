"""`xtask check-guarantees`: what it says of mutations that are noticed, not noticed, stale, or of a broken test."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from xtask import guarantees
from xtask.guarantees import MUTATIONS, ROOT, read_mutations
from xtask.unified_diff import DoesNotApply, apply

if TYPE_CHECKING:
    from pathlib import Path

SUM = "def add(a, b):\n    return a + b\n"

TESTS = """
from engine import add

def test_add():
    assert add(2, 3) == 5

def test_zero():
    assert add(0, 0) == 0

def test_broken(no_such_fixture):
    pass
"""

BREAK_ADD = """
--- a/engine.py
+++ b/engine.py
@@ -2,1 +2,1 @@
-    return a + b
+    return a - b
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of its own, with a directory for mutations."""
    (tmp_path / "tests" / "mutations").mkdir(parents=True)
    (tmp_path / "engine.py").write_text(SUM)
    (tmp_path / "tests" / "test_engine.py").write_text(TESTS)
    monkeypatch.setattr(guarantees, "ROOT", tmp_path)
    monkeypatch.setattr(guarantees, "MUTATIONS", tmp_path / "tests" / "mutations")
    return tmp_path


def mutate(checkout: Path, name: str, test: str, diff: str) -> None:
    text = f"G1 tests/test_engine.py::{test}\nIt subtracts.\n{diff}"
    (checkout / "tests" / "mutations" / f"{name}.diff").write_text(text)


def test_a_mutation_that_is_noticed_changes_only_a_copy(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutate(checkout, "noticed", "test_add", BREAK_ADD)
    assert guarantees.check_guarantees() == 0
    assert "G1 noticed: as it must be\n" in capsys.readouterr().out
    assert (checkout / "engine.py").read_text() == SUM


def test_what_is_wrong_with_mutations_and_tests(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutate(checkout, "not_noticed", "test_zero", BREAK_ADD)
    mutate(checkout, "broken_test", "test_broken", BREAK_ADD)
    mutate(checkout, "no_python", "test_add", BREAK_ADD.replace("return a - b", "return ("))
    mutate(checkout, "stale", "test_add", BREAK_ADD.replace("-    return a + b", "-    return b + a"))
    assert guarantees.check_guarantees() == 1
    out = capsys.readouterr().out
    assert "G1 not_noticed: NOT NOTICED by tests/test_engine.py::test_zero\n" in out
    assert "G1 broken_test: tests/test_engine.py::test_broken did not fail by itself, pytest's status is 1:" in out
    assert "G1 no_python: tests/test_engine.py::test_add did not fail by itself, pytest's status is" in out
    assert "G1 stale: the patch does not apply any more: engine.py: 0 places" in out
    assert "the same tests without a mutation: pytest's status is 1:" in out
    assert out.endswith("4 mutations, 5 problems\n")


@pytest.mark.parametrize("text", ["", "G6 tests/a.py::b\n", "what it breaks\n"])
def test_a_mutation_names_a_guarantee_and_a_test(checkout: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (checkout / "tests" / "mutations" / "broken.diff").write_text(text)
    assert guarantees.check_guarantees() == 1
    assert "broken.diff: its first line must name a guarantee and a test" in capsys.readouterr().err


def test_no_mutations_are_an_error(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarantees.check_guarantees() == 1
    assert "no mutations in" in capsys.readouterr().err


def test_a_hunk_finds_its_place_wherever_that_is() -> None:
    text = "a\nb\nc\nd\n"
    diff = "--- a/x\n+++ b/x\n@@ -90,2 +90,2 @@\n b\n-c\n+C\n@@ -1,1 +1,2 @@\n+0\n a\n"
    assert apply(diff, lambda path: text) == {"x": "0\na\nb\nC\nd\n"}


@pytest.mark.parametrize(("text", "places"), [("a\nb\na\n", 2), ("b\n", 0), ("xa\n", 0)])
def test_a_hunk_has_one_place_or_none(text: str, places: int) -> None:
    with pytest.raises(DoesNotApply, match=f"^x: {places} places, not one, for a hunk that begins with: a$"):
        apply("--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n+A\n", lambda path: text)


def test_every_mutation_applies_and_names_a_test_that_is_there_and_in_the_documentation() -> None:
    documented = (ROOT / "docs" / "saga-engine.md").read_text()
    for mutation in read_mutations(MUTATIONS):
        changed = apply(mutation.diff, lambda path: (ROOT / path).read_text())
        for text in changed.values():
            ast.parse(text)
        path, name = mutation.test.partition("[")[0].split("::")
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, (
            mutation.name
        )
        start = documented.index(f"\n**{mutation.guarantee}** ")
        bullets = documented[start : documented.index("\n\n", start)].split("\n- ")
        assert any(bullet.startswith(f"`{path}::{name}`") and f"`{mutation.name}`" in bullet for bullet in bullets), (
            f"{mutation.name} is not listed under {mutation.guarantee}, beside its test"
        )
