"""What every command is given: the settings, where to print, the time, and the way to a Nexus."""

from __future__ import annotations

from omdb.errors import UsageError
from omdb.log import Log
from omdb.options import COLOR, LOG_LEVEL, NEXUS_URL
from omdb.render.text import line, printable
from omdb.terminal import Terminal, wants_color
from omdb.urls import BaseUrl, parse_base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import TextIO

    from omdb.nexus_connection import NexusConnection
    from omdb.options import Settings
    from omdb.render.text import Line

NEXUS_SERVICE = "_nexus-lockstep._tcp"


class Session:
    """One run of one command. Data goes to `stdout`; notes, warnings and the log go to `stderr`.

    A context manager, which in the end closes what the command has connected to.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        stdout: TextIO,
        stderr: TextIO,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.now = now
        self.log = Log(settings[LOG_LEVEL] or "warn", stream=stderr, now=now)
        self._stdout = Terminal(stdout, colored=wants_color(settings[COLOR] or "auto", stream=stdout, environ=environ))
        self._stderr = stderr
        self._connections: list[NexusConnection] = []

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    def print(self, lines: list[Line]) -> None:
        self._stdout.write(lines)

    def print_text(self, text: str) -> None:
        """One uncoloured line of data."""
        self.print([line(text)])

    def note(self, text: str) -> None:
        """A line, or lines, of commentary. It may quote what a server said, so it is made printable."""
        self._stdout.flush()
        self._stderr.write("".join(f"{printable(each)}\n" for each in text.split("\n")))

    def nexus(self) -> NexusConnection:
        """The Nexus that the options name, else one picked from DNS, with the notes that say so.

        Nothing is sent to it yet. Raises OmdbError.
        """
        from omdb.nexus_connection import NexusConnection

        typed = self.settings[NEXUS_URL]
        if typed is None:
            self.note("note: Nexus URL not specified.  Will pick one from DNS.")
            url = self._pick_nexus()
        else:
            try:
                url = parse_base_url(typed)
            except ValueError as error:
                origin = self.settings.origin(NEXUS_URL)
                raise UsageError(f'Invalid URL "{printable(typed)}" for {origin}: {error}.') from None
        self.note(f"note: using Nexus URL {url}")
        connection = NexusConnection(url, picked_from_dns=typed is None, log=self.log)
        self._connections.append(connection)
        return connection

    def _pick_nexus(self) -> BaseUrl:
        from omdb.discovery import pick_server

        return parse_base_url(f"http://{pick_server(self, service=NEXUS_SERVICE, kind='Nexus')}")
