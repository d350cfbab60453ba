"""Socket addresses as text: `127.0.0.1:12220`, `[::1]:12221`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class SocketAddr:
    """An IP address and a port. `str()` gives the text form, with brackets around IPv6."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> SocketAddr:
        """Read `IPv4:PORT` or `[IPv6]:PORT`.

        Raises ValueError, with a sentence for the user, for anything else: host names are refused.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(f"{text!r} is not an address: expected 127.0.0.1:PORT or [::1]:PORT")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError(f"{text!r} is not an address: {host!r} is not an IP address") from None
        if bracketed != (ip.version == 6):
            raise ValueError(f"{text!r} is not an address: only an IPv6 address goes in brackets, and it must")
        return cls(str(ip), int(port))

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"
