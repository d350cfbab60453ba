"""Sagas made through the internal API of a Nexus: a process of its own, which imports `saga_types`."""

from __future__ import annotations

import statistics
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import psycopg

from dropshot.address import SocketAddr
from nexus.clients.nexus import Request, check_success, create_sagas, decode_created_sagas
from xtask.bench.sagas.saga_types import NAME

if TYPE_CHECKING:
    from uuid import UUID

    from simstack.facts import NexusFacts

TIMEOUT_S = 60.0
LOOK_AGAIN_S = 0.005

COUNT_IN_PROGRESS = "SELECT count(*) FROM saga WHERE current_sec = %s AND saga_state IN ('running', 'unwinding')"


def sagas_per_second(url: str, nexus: NexusFacts, *, count: int) -> float:
    """All made by one bulk request, and waited for in the database."""
    with psycopg.connect(url, autocommit=True) as database:
        start = time.perf_counter()
        _create(_connect(nexus), count)
        while database.execute(COUNT_IN_PROGRESS, (nexus.id,)).fetchone() != (0,):
            time.sleep(LOOK_AGAIN_S)
        return count / (time.perf_counter() - start)


def one_after_the_other_p50_s(nexus: NexusFacts, *, count: int) -> float:
    """From the request to create a saga until the API shows its end, on one connection."""
    connection = _connect(nexus)
    samples: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        (saga_id,) = _create(connection, 1)
        while b'"running"' in _exchange(connection, Request("GET", f"/sagas/{saga_id}")):
            pass
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def _connect(nexus: NexusFacts) -> HTTPConnection:
    address = SocketAddr.parse(nexus.internal_address)
    return HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)


def _create(connection: HTTPConnection, count: int) -> list[UUID]:
    return decode_created_sagas(_exchange(connection, create_sagas(NAME, params=None, count=count))).saga_ids


def _exchange(connection: HTTPConnection, request: Request) -> bytes:
    headers = {"content-type": "application/json"} if request.body else {}
    connection.request(request.method, request.path, request.body or None, headers)
    response = connection.getresponse()
    body = response.read()
    check_success(response.status, body)
    return body
