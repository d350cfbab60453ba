"""Ports that are free on every loopback address."""

from __future__ import annotations

import socket
import sys

import pytest

from simstack.errors import PortTaken
from simstack.loopback import IPV4, check_port, free_port, loopback_hosts, reserved_ports


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a port be kept for another")
def test_a_reserved_port_is_for_whoever_asks_for_it_by_its_number() -> None:
    hosts = loopback_hosts()
    with reserved_ports() as reserve:
        port = reserve(hosts)
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as selfish, pytest.raises(OSError, match="in use"):
                selfish.bind((host, port))
            for _ in range(2):  # a server, and its next start
                with socket.create_server((host, port), family=family), socket.create_connection((host, port)):
                    pass


def test_a_port_is_reserved_once() -> None:
    """Also where one of them is on one address only, and the other begins with another."""
    with reserved_ports() as reserve:
        ports = [reserve(hosts) for _ in range(200) for hosts in (loopback_hosts(), [IPV4])]
    assert len(set(ports)) == len(ports)
