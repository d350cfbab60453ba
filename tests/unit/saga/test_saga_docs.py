"""docs/saga-engine.md: its example runs, its diagram is the table, the tests that it names exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from nexus.saga.log import diagram

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "saga-engine.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_example_does_what_it_says() -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("python")], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("Saga")]
    assert lines == block("text").splitlines()


def test_the_example_is_about_thirty_lines_of_saga() -> None:
    code = [line for line in block("python").splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= 35


def test_the_diagram_is_current() -> None:
    assert block("mermaid") == diagram() + "\n", "replace it by the output of nexus.saga.log.diagram()"


def test_every_guarantee_names_tests_that_exist() -> None:
    for guarantee in ("G1", "G2", "G3", "G4", "G5"):
        start = TEXT.index(f"\n**{guarantee}** ")
        paragraph = TEXT[start : TEXT.index("\n\n", start)]
        named = re.findall(r"`(tests/\S+\.py)::(\w+)`", paragraph)
        assert named, f"{guarantee} names no test"
        for path, name in named:
            tree = ast.parse((ROOT / path).read_text())
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in functions, f"{guarantee} names {path}::{name}, which does not exist"
