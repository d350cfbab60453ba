"""Ports that are free on every loopback address."""

from __future__ import annotations

import socket

import pytest

from simstack.errors import PortTaken
from simstack.loopback import IPV4, check_port, free_port, loopback_hosts


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port(loopback_hosts())
    check_port(loopback_hosts(), port)
    for host in loopback_hosts():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()


def test_a_taken_port_is_named_with_its_address() -> None:
    with socket.create_server((IPV4, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"^127\.0\.0\.1:{port} is already in use$"):
            check_port(loopback_hosts(), port)


def test_ipv4_is_always_among_them() -> None:
    assert loopback_hosts()[-1] == IPV4
