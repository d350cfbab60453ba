"""Requests to a Nexus and the answers to them."""

from __future__ import annotations

import json
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.api.types import BackgroundTask, DemoSaga, Duration, Idle, NeverCompleted
from nexus.clients.nexus import (
    ErrorAnswer,
    SagaSummary,
    UnexpectedAnswer,
    Unreadable,
    activate_background_tasks,
    check_success,
    complete_demo_saga,
    create_demo_saga,
    decode_background_tasks,
    decode_demo_saga,
    decode_sagas,
    list_background_tasks,
    list_sagas,
)

SAGA_ID = UUID("65253cb6-4428-4aa7-9afc-bf9b42166cb5")


def test_requests() -> None:
    assert str(list_sagas()) == "GET /sagas"
    assert str(list_sagas(limit=5)) == "GET /sagas?limit=5"
    assert str(list_sagas(page_token="a+/=ü", limit=5)) == "GET /sagas?limit=5&page_token=a%2B%2F%3D%C3%BC"
    assert str(create_demo_saga()) == "POST /demo-saga"
    assert str(complete_demo_saga(SAGA_ID)) == f"POST /demo-saga/{SAGA_ID}/complete"
    assert str(list_background_tasks()) == "GET /bgtasks"
    activate = activate_background_tasks(["b", "a", "b"])
    assert (str(activate), json.loads(activate.body)) == ("POST /bgtasks/activate", {"bgtask_names": ["a", "b"]})


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success(status: int) -> None:
    check_success(status, b"")


def test_an_error_of_nexus() -> None:
    body = {"request_id": "r", "error_code": "ObjectNotFound", "message": "not found: saga-dbg"}
    with pytest.raises(ErrorAnswer) as caught:
        check_success(404, json.dumps(body).encode())
    error = caught.value
    assert (error.status, error.message, error.error_code, error.request_id) == (
        404,
        "not found: saga-dbg",
        "ObjectNotFound",
        "r",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "an empty body"),
        (b"<html>\n  no</html>", "<html> no</html>"),
        (b"[]", "[]"),
        (b'{"message": 3, "request_id": "r"}', '{"message": 3, "request_id": "r"}'),
        (b"x" * 1000, "x" * 200 + "…"),
        (b"\xff", "\ufffd"),
        (b"[" * 100_000, "[" * 200 + "…"),
    ],
)
def test_an_error_of_something_else(body: bytes, message: str) -> None:
    with pytest.raises(ErrorAnswer) as caught:
        check_success(500, body)
    assert (caught.value.message, caught.value.request_id, caught.value.error_code) == (message, None, None)


def test_a_page_of_sagas() -> None:
    items = [{"id": str(SAGA_ID), "state": {"state": "invented"}, "more": 1}, {"id": 3}]
    page = decode_sagas(json.dumps({"items": items, "next_page": "t"}).encode())
    good, bad = page.items
    assert isinstance(good, SagaSummary)
    assert (good.id, good.state) == (str(SAGA_ID), "invented")
    assert isinstance(bad, Unreadable)
    assert bad.text == '{"id": 3}'
    assert page.next_page == "t"
    assert decode_sagas(b'{"items": []}').next_page is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"items": {}}', b'{"items": [], "next_page": 1}', b"[" * 100_000])
def test_what_is_no_page_of_sagas(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        decode_sagas(body)


def test_a_demo_saga() -> None:
    made = DemoSaga(SAGA_ID, SAGA_ID)
    assert decode_demo_saga(msgspec.json.encode(made)) == made
    with pytest.raises(UnexpectedAnswer, match=r'Invalid UUID - at `\$\.saga_id`: \{"saga_id"'):
        decode_demo_saga(b'{"saga_id": "x", "demo_saga_id": "x"}')


def test_background_tasks_one_by_one() -> None:
    task = BackgroundTask("b", "does b", Duration(60, 0), Idle(), NeverCompleted())
    tasks = decode_background_tasks(msgspec.json.encode({"b": task, "a": {"name": "a"}}))
    assert list(tasks) == ["a", "b"]
    assert tasks["b"] == task
    bad = tasks["a"]
    assert isinstance(bad, Unreadable)
    assert bad.text == '{"name":"a"}'
    with pytest.raises(UnexpectedAnswer):
        decode_background_tasks(b"[]")


@given(st.binary(max_size=50) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode))
def test_no_body_is_more_than_unexpected(body: bytes) -> None:
    for decode in (decode_sagas, decode_demo_saga, decode_background_tasks):
        with pytest.raises(UnexpectedAnswer):
            decode(body)
    with pytest.raises(ErrorAnswer):
        check_success(500, body)
