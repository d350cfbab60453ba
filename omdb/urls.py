"""Base URLs: `http://HOST[:PORT][/PREFIX]`, where HOST is a name, an IPv4 address or an IPv6 address in brackets.

`urllib.parse` is not used: it lets through nearly anything, and a URL copied with a mistake in it deserves a sentence.
"""

from __future__ import annotations

_HTTP_PORT = 80


class BaseUrl:
    """Where an HTTP server is. `str()` is what was typed."""

    __slots__ = ("authority", "host", "port", "prefix", "text")

    def __init__(self, text: str, *, authority: str, host: str, port: int, prefix: str) -> None:
        self.text = text
        self.authority = authority
        """As it goes into the `Host` header."""
        self.host = host
        """As it goes to `getaddrinfo`: without brackets, an IPv6 zone after a bare `%`."""
        self.port = port
        self.prefix = prefix
        """What comes before every path: empty, or begins with a slash and does not end with one."""

    def __str__(self) -> str:
        return self.text


def parse_base_url(text: str) -> BaseUrl:
    """Raises ValueError with a sentence that says what is wrong."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a URL has only printable ASCII characters")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("expected http://HOST:PORT")
    if scheme.lower() != "http":
        raise ValueError(f'the scheme is "{scheme}", and only http is spoken here')
    authority, slash, path = rest.partition("/")
    for character, meaning in (("?", "query"), ("#", "fragment"), ("@", "user name")):
        if character in (authority if character == "@" else rest):
            raise ValueError(f"there is a {meaning} in it")
    host, port = _split_authority(authority)
    return BaseUrl(text, authority=_without_zone(authority), host=host, port=port, prefix=(slash + path).rstrip("/"))


def _split_authority(authority: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket:
            raise ValueError('the "[" before the IPv6 address is never closed')
        if ":" not in host or (port and not port.startswith(":")):
            raise ValueError("brackets hold an IPv6 address, and a port follows after a colon: http://[::1]:PORT")
        host = host.replace("%25", "%")
        port = port[1:] if port else ""
        if port == "" and authority.endswith(":"):
            raise ValueError("the port is missing after the colon")
    else:
        host, colon, port = authority.partition(":")
        if ":" in port:
            raise ValueError("an IPv6 address goes in brackets: http://[::1]:PORT")
        if colon and not port:
            raise ValueError("the port is missing after the colon")
    if not host or "]" in host or "[" in host:
        raise ValueError("the host is missing" if not host else "a bracket is out of place")
    if not port:
        return host, _HTTP_PORT
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'the port is "{port}", not a number from 1 to 65535')
    return host, int(port)


def _without_zone(authority: str) -> str:
    """A zone, as in `[fe80::1%25eth0]`, means something to this machine only (RFC 6874)."""
    before, percent, after = authority.partition("%")
    return before + "]" + after.partition("]")[2] if percent and "]" in after else authority
