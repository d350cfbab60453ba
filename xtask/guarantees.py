"""`xtask check-guarantees`: each guarantee of the saga engine, broken on purpose, and a named test that must notice.

Every `tests/mutations/*.diff` begins with a line that names the guarantee and the test, and then says in words what it
breaks. It is applied to a copy of this checkout, in which that test, which passes in an unchanged copy, must fail: by
itself, not because it could not be collected or set up.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xtask.unified_diff import DoesNotApply, apply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]

MUTATIONS = ROOT / "tests" / "mutations"

AT_A_TIME = 2

HANGS_AFTER_S = 120.0

FIRST_LINE = re.compile(r"(G[1-5]) (tests/\S+\.py::\S.*)")

PASSED, FAILED = 0, 1
"""Exit statuses of pytest."""


@dataclass(frozen=True, slots=True)
class Mutation:
    name: str
    guarantee: str
    test: str
    """As pytest names it, with its parameters."""

    diff: str


@dataclass(frozen=True, slots=True)
class Verdict:
    subject: str
    problem: str | None
    """None if all is as it must be."""

    seconds: float


class UnreadableMutation(Exception):
    pass


def check_guarantees() -> int:
    """Break each guarantee of the saga engine in a copy of this checkout: its named test must fail."""
    try:
        mutations = read_mutations(MUTATIONS)
    except UnreadableMutation as error:
        print(f"check-guarantees: {error}", file=sys.stderr)
        return 1
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="omicron-dev-mutations-") as directory:
        workshop = Workshop(Path(directory))
        for verdict in workshop.verdicts(mutations):
            print(
                f"check-guarantees: {verdict.seconds:5.1f} s  {verdict.subject}: {verdict.problem or 'as it must be'}"
            )
            verdicts.append(verdict)
    problems = sum(verdict.problem is not None for verdict in verdicts)
    print(f"check-guarantees: {len(mutations)} mutations, {problems} problems", flush=True)
    return 1 if problems else 0


def read_mutations(directory: Path) -> list[Mutation]:
    """Raises UnreadableMutation."""
    mutations: list[Mutation] = []
    for path in sorted(directory.glob("*.diff")):
        text = path.read_text(encoding="utf-8")
        found = FIRST_LINE.fullmatch(text.splitlines()[0] if text else "")
        if found is None:
            raise UnreadableMutation(f"{path.name}: its first line must name a guarantee and a test")
        mutations.append(Mutation(path.stem, found[1], found[2], text))
    if not mutations:
        raise UnreadableMutation(f"no mutations in {directory}")
    return mutations


class Workshop:
    """A snapshot of the checkout, and copies of that, each for one run of pytest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._snapshot = shutil.copytree(ROOT, directory / "snapshot", ignore=shutil.ignore_patterns(".*", "*.pyc.*"))

    def verdicts(self, mutations: Sequence[Mutation]) -> Iterator[Verdict]:
        """As they come."""
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            unchanged = pool.submit(self._check_unchanged, mutations)
            yield from pool.map(self._check, mutations)
            yield unchanged.result()

    def _check(self, mutation: Mutation) -> Verdict:
        started = time.monotonic()
        with self._copy(mutation.name) as copy:
            problem = _problem_of(mutation, copy)
        return Verdict(f"{mutation.guarantee} {mutation.name}", problem, time.monotonic() - started)

    def _check_unchanged(self, mutations: Sequence[Mutation]) -> Verdict:
        started = time.monotonic()
        with self._copy("unchanged") as copy:
            status, output = _run_tests(copy, sorted({mutation.test for mutation in mutations}))
        problem = None if status == PASSED else f"pytest's status is {status}:\n{output}"
        return Verdict("the same tests without a mutation", problem, time.monotonic() - started)

    @contextmanager
    def _copy(self, name: str) -> Iterator[Path]:
        copy = shutil.copytree(self._snapshot, self._directory / name)
        yield copy
        shutil.rmtree(copy)


def _problem_of(mutation: Mutation, copy: Path) -> str | None:
    try:
        changed = apply(mutation.diff, lambda path: (copy / path).read_text(encoding="utf-8"))
    except (DoesNotApply, OSError) as error:
        return f"the patch does not apply any more: {error}"
    for path, text in changed.items():
        (copy / path).write_text(text, encoding="utf-8")
    status, output = _run_tests(copy, [mutation.test])
    if status == PASSED:
        return f"NOT NOTICED by {mutation.test}"
    if status == FAILED and f"\nFAILED {mutation.test}" in output:
        return None
    return f"{mutation.test} did not fail by itself, pytest's status is {status}:\n{output}"


def _run_tests(checkout: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """pytest's exit status, None if it hangs, and its output."""
    argv = [sys.executable, "-m", "pytest", "--quiet", "-rf", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            argv,
            cwd=checkout,
            env=os.environ | {"COLUMNS": "1000"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANGS_AFTER_S,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return None, str(expired.output)
    return done.returncode, done.stdout
