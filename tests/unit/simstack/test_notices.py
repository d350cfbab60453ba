"""What a child says over NOTIFY_SOCKET, as data."""

from __future__ import annotations

from simstack.notify import Notices


def test_later_values_replace_earlier_ones() -> None:
    notices = Notices().updated(b"STATUS=one\nX_A=1").updated(b"STATUS=two\nREADY=1\n")
    assert (notices.ready, notices.status) == (True, "two")
    assert dict(notices.values) == {"STATUS": "two", "X_A": "1", "READY": "1"}


def test_only_the_first_equals_sign_divides() -> None:
    assert Notices().updated(b"STATUS=a=b").status == "a=b"


def test_what_is_no_notice_is_ignored() -> None:
    assert Notices().updated(b"nonsense\n\n\xff\n") == Notices()


def test_ready_is_1_alone() -> None:
    assert not Notices().updated(b"READY=0").ready


def test_who_is_on_standby_says_so_until_it_waits_for_something_else() -> None:
    notices = Notices().updated(b"STATUS=waiting for the database\nX_STANDBY=0")
    assert not notices.standby
    notices = notices.updated(b"STATUS=waiting for the handoff\nX_STANDBY=1")
    assert notices.standby
    assert not notices.updated(b"STATUS=starting\nX_STANDBY=0").standby
