"""Every private name of psycopg that `nexus.db.connection` or `omdb.database` leans on is there and what it was."""

from __future__ import annotations

import inspect

import psycopg
import pytest
from psycopg import generators
from psycopg._connection_base import BaseConnection
from psycopg.waiting import Ready, Wait


def test_minor_version_is_the_one_this_was_written_for() -> None:
    assert psycopg.__version__.split(".")[:2] == ["3", "3"]


@pytest.mark.parametrize("name", ["_connect_gen", "_cancel_gen"])
def test_generator_functions(name: str) -> None:
    assert inspect.isgeneratorfunction(getattr(BaseConnection, name))


@pytest.mark.parametrize(
    "assignment",
    ["self._autocommit = ", "self._adapters: ", "self._num_transactions = ", "self._closed = ", "self.pgconn = "],
)
def test_attributes_set_at_construction(assignment: str) -> None:
    assert assignment in inspect.getsource(BaseConnection.__init__)


def test_connection_constructor_sets_what_is_replaced_after_it() -> None:
    source = inspect.getsource(psycopg.AsyncConnection.__init__)
    assert "self.lock = " in source
    assert "self.cursor_factory = " in source


@pytest.mark.parametrize("name", ["wait", "cancel_safe", "connect", "transaction", "close"])
def test_methods_that_are_replaced(name: str) -> None:
    assert inspect.isfunction(inspect.unwrap(getattr(psycopg.AsyncConnection, name))) or name == "connect"


def test_wait_takes_what_it_took() -> None:
    for connection in (psycopg.AsyncConnection, psycopg.Connection):
        assert list(inspect.signature(connection.wait).parameters) == ["self", "gen", "interval", "timeout"]
    assert issubclass(psycopg.errors._WaitTimeout, Exception)


def test_states_are_bit_sets() -> None:
    assert [int(state) for state in (Wait.R, Wait.W, Wait.RW)] == [1, 2, 3]
    assert [int(state) for state in (Ready.NONE, Ready.R, Ready.W, Ready.RW)] == [0, 1, 2, 3]


def test_a_transaction_is_counted_before_its_begin_is_sent() -> None:
    source = inspect.getsource(psycopg.AsyncTransaction._enter_gen)
    assert source.index("_push_savepoint") < source.index("_exec_command")


def test_generators_come_from_the_compiled_module_or_from_python() -> None:
    assert callable(generators.connect)
    assert callable(generators.cancel)
