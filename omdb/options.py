"""The options that are accepted anywhere on the command line, each with its environment variable.

A plain table: `command_line.py` reads these options by it and `grammar.py` shows them in every help page by it. Options
of a single command are not here; they are the keyword parameters of its function.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Option:
    """One option. Without `metavar` it is a flag. `scopes` are the groups of commands under which it is accepted."""

    __slots__ = ("choices", "default", "env", "help", "metavar", "name", "scopes", "short")

    def __init__(
        self,
        name: str,
        help: str,
        *,
        metavar: str | None = None,
        short: str | None = None,
        env: str | None = None,
        choices: tuple[str, ...] = (),
        default: str | None = None,
        scopes: tuple[tuple[str, ...], ...] = ((),),
    ) -> None:
        self.name = name
        self.help = help
        self.metavar = metavar
        self.short = short
        self.env = env
        self.choices = choices
        self.default = default
        self.scopes = scopes

    @property
    def is_flag(self) -> bool:
        return self.metavar is None

    def accepted_under(self, path: tuple[str, ...]) -> bool:
        return any(path[: len(scope)] == scope for scope in self.scopes)


LOG_LEVEL = Option(
    "--log-level",
    "What to log, on standard error.",
    metavar="LEVEL",
    env="LOG_LEVEL",
    choices=("trace", "debug", "info", "warn", "error", "critical"),
    default="warn",
)
DNS_SERVER = Option(
    "--dns-server",
    "The internal DNS server to ask, as 127.0.0.1:PORT or [::1]:PORT. Else that of the system is asked.",
    metavar="ADDR:PORT",
    env="OMDB_DNS_SERVER",
)
DESTRUCTIVE = Option("--destructive", "Allow commands that change something.", short="-w")
COLOR = Option(
    "--color",
    "Whether to colour what is printed; auto does so on a terminal.",
    metavar="WHEN",
    choices=("auto", "always", "never"),
    default="auto",
)
NEXUS_URL = Option(
    "--nexus-internal-url",
    "The internal API of a Nexus, as http://[::1]:12221. Else one is picked from DNS.",
    metavar="URL",
    env="OMDB_NEXUS_URL",
    scopes=(("nexus",),),
)
DB_URL = Option(
    "--db-url",
    "The control plane's database, as postgresql://root@[::1]:PORT/omicron. Else it is looked up in DNS.",
    metavar="URL",
    env="OMDB_DB_URL",
    scopes=(("db",), ("reconfigurator",), ("nexus", "sleds")),
)
FETCH_LIMIT = Option(
    "--fetch-limit",
    "How many rows to fetch of a listing.",
    metavar="N",
    env="OMDB_FETCH_LIMIT",
    default="500",
    scopes=(("db",),),
)
HELP = Option("--help", "Print this help. So does `help` in the place of a command.", short="-h")
VERSION = Option("--version", "Print the version.")

OPTIONS = (NEXUS_URL, DB_URL, FETCH_LIMIT, DNS_SERVER, DESTRUCTIVE, LOG_LEVEL, COLOR, HELP, VERSION)
"""In the order in which help shows them."""


class Settings:
    """What the options were set to. A flag beats an environment variable, and that beats the default."""

    __slots__ = ("_environ", "_given")

    def __init__(self, given: Mapping[Option, str], environ: Mapping[str, str]) -> None:
        self._given = given
        self._environ = environ

    def __getitem__(self, option: Option) -> str | None:
        """The value, in lower case if there is a choice of them. An empty environment variable counts as unset."""
        if option in self._given:
            value: str | None = self._given[option]
        else:
            value = (option.env and self._environ.get(option.env)) or option.default
        return value.lower() if value is not None and option.choices else value

    def origin(self, option: Option) -> str:
        """Where the value comes from, for messages: `--color`, or `OMDB_NEXUS_URL`."""
        return option.name if option in self._given or option.env is None else option.env

    def has(self, flag: Option) -> bool:
        return flag in self._given
