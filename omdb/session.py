"""What every command is given: the settings, where to print, the time, the way to a Nexus and to the database."""

from __future__ import annotations

from omdb.errors import UsageError
from omdb.log import Log
from omdb.options import COLOR, DB_URL, FETCH_LIMIT, LOG_LEVEL, NEXUS_URL
from omdb.render.text import line, printable
from omdb.terminal import Terminal, wants_color
from omdb.urls import BaseUrl, parse_base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import TextIO

    from omdb.database import Database
    from omdb.nexus_connection import NexusConnection
    from omdb.options import Settings
    from omdb.render.text import Line

NEXUS_SERVICE = "_nexus-lockstep._tcp"
DATABASE_SERVICE = "_cockroach._tcp"

_OTHER_SCHEMA = """\
It may be that what omdb prints of this database is wrong, or that commands
fail.  An omdb of the release that made the schema does not have this trouble."""


class Progress:
    __slots__ = ("_stream", "_what")

    def __init__(self, what: str, stream: TextIO) -> None:
        self._what = what
        self._stream = stream

    def __enter__(self) -> None:
        self._stream.write(f"{printable(self._what)} ... ")
        self._stream.flush()

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self._stream.write("failed\n" if failure else "done\n")


class Session:
    """One run of one command. Data goes to `stdout`; notes, warnings and the log go to `stderr`.

    A context manager, which in the end closes what the command has connected to.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str],
        stdin: TextIO | None,
        stdout: TextIO,
        stderr: TextIO,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.now = now
        self.log = Log(settings[LOG_LEVEL] or "warn", stream=stderr, now=now)
        color = settings[COLOR] or "auto"
        self._stdout = Terminal(stdout, colored=wants_color(color, stream=stdout, environ=environ))
        self._warnings = Terminal(stderr, colored=wants_color(color, stream=stderr, environ=environ))
        self._stdin = stdin
        self._stderr = stderr
        self._connections: list[NexusConnection | Database] = []

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

    def warn(self, text: str) -> None:
        """As `note`, in the colour of danger."""
        self._stdout.flush()
        self._warnings.write([line((printable(each), "failed")) for each in text.split("\n")])

    def progress(self, what: str) -> Progress:
        """Say that something has begun, and on the same line how it ended. A context manager."""
        self._stdout.flush()
        return Progress(what, self._stderr)

    @property
    def has_terminal(self) -> bool:
        """Whether anybody can be asked."""
        return self._stdin is not None and self._stdin.isatty()

    def ask(self, question: str) -> str | None:
        """What is typed at the terminal. None if there is no terminal, or nothing more comes from it."""
        if self._stdin is None or not self.has_terminal:
            return None
        self._stdout.flush()
        self._stderr.write(f"{question}: ")
        self._stderr.flush()
        answer = self._stdin.readline()
        if not answer:
            self.note("")
            return None
        return answer.strip()

    def fetch_limit(self) -> int:
        """Raises UsageError."""
        typed = self.settings[FETCH_LIMIT] or ""
        if not (typed.isascii() and typed.isdigit() and len(typed) < 10 and int(typed) > 0):
            origin = self.settings.origin(FETCH_LIMIT)
            raise UsageError(f'Invalid value "{printable(typed)}" for {origin}: not a number from 1 to 999999999.')
        return int(typed)

    def note_limit(self, what: str, *, found: int) -> None:
        """Say so where a listing is as long as it may be."""
        if found >= self.fetch_limit():
            self.note(
                f"WARN: {what}: found {found} items (the limit).  There may be more items that were ignored. "
                " Consider overriding with --fetch-limit."
            )

    def database(self) -> Database:
        """The database that the options name, else the one that DNS knows, connected, with the notes that say so.

        Raises OmdbError.
        """
        typed = self.settings[DB_URL]
        if typed is None:
            self.note("note: database URL not specified.  Will search DNS.")
            self.note("note: (override with --db-url or OMDB_DB_URL)")
            url = self._find_database()
        else:
            url = typed
        self.note(f"note: using database URL {url}")
        from omdb.database import Database

        try:
            database = Database.connect(url, log=self.log)
        except ValueError as error:
            origin = self.settings.origin(DB_URL)
            raise UsageError(f'Invalid URL "{printable(url)}" for {origin}: {error}.') from None
        self._connections.append(database)
        self._note_schema(database)
        return database

    def _note_schema(self, database: Database) -> None:
        from nexus.db.schema_version import SCHEMA_VERSION

        version = database.schema_version()
        if version == SCHEMA_VERSION:
            self.note(f"note: database schema version matches expected ({version})")
        else:
            self.note(f"WARN: found schema version {version}, expected {SCHEMA_VERSION}\n{_OTHER_SCHEMA}")

    def _find_database(self) -> str:
        from omdb.discovery import find_servers

        addresses = find_servers(self, service=DATABASE_SERVICE, kind="the database")
        return f"postgresql://root@{','.join(map(str, addresses))}/omicron?sslmode=disable"

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
