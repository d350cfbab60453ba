"""Configuration of a Nexus: a TOML file with upstream's sections and keys.

Only `[deployment]` has keys without a default. A key that nobody knows is an error that names the nearest known one; a
key that only upstream knows is kept in `NexusConfig.not_simulated`, to be mentioned in the log.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from dropshot.address import SocketAddr
from dropshot.logging import LogConfig
from nexus.config_keys import ANY_KEY, NOT_SIMULATED, RENAMED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nexus.config_keys import KeyTree

DEFAULT_MAX_BODY_BYTES = 1024 * 1024
DNS_PORT = 53
INTERNAL_DNS_SERVERS_PER_RACK = 3

_Seconds: TypeAlias = Annotated[int, Meta(ge=1)]
_Minutes: TypeAlias = Annotated[int, Meta(ge=1)]
_Count: TypeAlias = Annotated[int, Meta(ge=1)]


class ConfigError(Exception):
    """The file cannot be used. One line for the user, naming file and key."""


class _Section(Struct, frozen=True, kw_only=True):
    """Unknown keys are found before anything is converted, with a better message than a refusal here would give."""


class ConsoleConfig(_Section, frozen=True):
    session_idle_timeout_minutes: _Minutes = 480
    session_absolute_timeout_minutes: _Minutes = 1440


class BlueprintTasksConfig(_Section, frozen=True):
    period_secs_load: _Seconds = 1
    period_secs_plan: _Seconds = 60
    period_secs_execute: _Seconds = 60
    period_secs_watch_expunged: _Seconds = 5
    period_secs_load_reconfigurator_config: _Seconds = 5


class DnsTasksConfig(_Section, frozen=True):
    """Periods of `dns_{config,servers,propagation}_<group>`, in seconds."""

    period_secs_config: _Seconds = 60
    period_secs_servers: _Seconds = 60
    period_secs_propagation: _Seconds = 60
    max_concurrent_server_updates: _Count = 5


class ExternalEndpointsConfig(_Section, frozen=True):
    period_secs: _Seconds = 60


class SagaRecoveryConfig(_Section, frozen=True):
    period_secs: _Seconds = 600


class SessionCleanupConfig(_Section, frozen=True):
    period_secs: _Seconds = 300
    max_delete_per_activation: _Count = 10_000


class BackgroundTasksConfig(_Section, frozen=True):
    blueprints: BlueprintTasksConfig = BlueprintTasksConfig()
    dns_internal: DnsTasksConfig = DnsTasksConfig()
    dns_external: DnsTasksConfig = DnsTasksConfig()
    external_endpoints: ExternalEndpointsConfig = ExternalEndpointsConfig()
    saga_recovery: SagaRecoveryConfig = SagaRecoveryConfig()
    session_cleanup: SessionCleanupConfig = SessionCleanupConfig()


class DropshotConfig(_Section, frozen=True):
    """Where one of the HTTP servers listens. Port 0 is any free port."""

    bind_address: str
    default_request_body_max_bytes: _Count = DEFAULT_MAX_BODY_BYTES

    def __post_init__(self) -> None:
        _parse_address("bind_address", self.bind_address)

    @property
    def address(self) -> SocketAddr:
        return SocketAddr.parse(self.bind_address)


class ExternalDropshotConfig(DropshotConfig, frozen=True):
    tls: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tls:
            raise ValueError("tls: TLS is not simulated; leave it out or say false")


class DnsFromAddress(_Section, frozen=True, tag_field="type", tag="from_address"):
    address: str

    def __post_init__(self) -> None:
        _parse_address("address", self.address)

    @property
    def servers(self) -> tuple[SocketAddr, ...]:
        return (SocketAddr.parse(self.address),)


class Subnet(_Section, frozen=True):
    net: str


class DnsFromSubnet(_Section, frozen=True, tag_field="type", tag="from_subnet"):
    """The DNS servers of a rack, whose addresses follow from its /56 subnet: host 1 of its /64 subnets 1 to 3."""

    subnet: Subnet

    def __post_init__(self) -> None:
        try:
            net = ipaddress.IPv6Network(self.subnet.net, strict=False)
        except ValueError:
            raise ValueError(
                f"subnet.net: {self.subnet.net!r} is not an IPv6 network like fd00:1122:3344:100::/56"
            ) from None
        if net.prefixlen != 56:
            raise ValueError(f"subnet.net: {self.subnet.net!r} must be a /56")

    @property
    def servers(self) -> tuple[SocketAddr, ...]:
        base = int(ipaddress.IPv6Network(self.subnet.net, strict=False).network_address)
        hosts = (base + (index << 64) + 1 for index in range(1, INTERNAL_DNS_SERVERS_PER_RACK + 1))
        return tuple(SocketAddr(str(ipaddress.IPv6Address(host)), DNS_PORT) for host in hosts)


class DatabaseFromUrl(_Section, frozen=True, tag_field="type", tag="from_url"):
    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith(("postgresql://", "postgres://")):
            raise ValueError(f"url: expected postgresql://…, got {redact_url(self.url)!r}")

    def __repr__(self) -> str:
        return f"DatabaseFromUrl({redact_url(self.url)})"


class DatabaseFromDns(_Section, frozen=True, tag_field="type", tag="from_dns"):
    """The database is what `_cockroach._tcp` in internal DNS says."""


InternalDnsConfig: TypeAlias = DnsFromAddress | DnsFromSubnet
DatabaseConfig: TypeAlias = DatabaseFromUrl | DatabaseFromDns


class DeploymentConfig(_Section, frozen=True):
    """`dropshot_lockstep`, where given, serves the internal API a second time."""

    id: UUID
    rack_id: UUID
    dropshot_external: ExternalDropshotConfig
    dropshot_internal: DropshotConfig
    internal_dns: InternalDnsConfig
    database: DatabaseConfig
    dropshot_lockstep: DropshotConfig | None = None

    def __post_init__(self) -> None:
        lockstep = self.dropshot_lockstep
        if lockstep is not None and lockstep.address.host != self.dropshot_internal.address.host:
            raise ValueError(
                "dropshot_lockstep: bind_address must have the same IP address as that of dropshot_internal"
            )


class SagasConfig(_Section, frozen=True):
    modules: tuple[str, ...] = ()
    """Python modules with saga types of the user's own, see `nexus.sagas.modules`."""

    finished_in_memory: Annotated[int, Meta(ge=0, le=1_000_000)] = 10_000
    """How many finished sagas, the last ones, are still listed. The database keeps them all."""


class NexusConfig(_Section, frozen=True):
    deployment: DeploymentConfig
    console: ConsoleConfig = ConsoleConfig()
    log: LogConfig = LogConfig()
    background_tasks: BackgroundTasksConfig = BackgroundTasksConfig()
    sagas: SagasConfig = SagasConfig()
    not_simulated: tuple[str, ...] = ()
    """Keys of the file that are accepted and mean nothing here, as `section.key` or `section`."""


def load_config(path: Path) -> NexusConfig:
    """Read a configuration file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f'read "{path}": {os.strerror(exc.errno) if exc.errno else exc}') from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f'parse "{path}": not UTF-8: {exc}') from exc
    try:
        return parse_config(text)
    except ConfigError as exc:
        raise ConfigError(f'parse "{path}": {exc}') from exc


def parse_config(text: str) -> NexusConfig:
    """Read the text of a configuration file. Raises ConfigError, whose message does not name the file."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"not TOML: {exc}") from exc
    _refuse_unedited(tables)
    not_simulated = list(_check_keys(tables, _HONOURED, NOT_SIMULATED, ()))
    try:
        config = msgspec.convert(tables, NexusConfig)
    except msgspec.ValidationError as exc:
        raise ConfigError(_quoting_uuid(_key_first(str(exc)), tables)) from exc
    return msgspec.structs.replace(config, not_simulated=tuple(not_simulated))


def honoured_keys() -> list[str]:
    """Every section and key that means something here: `console`, `console.session_idle_timeout_minutes`, ..."""
    return [".".join(path) for path in _all_keys(_HONOURED, ())]


def redact_url(url: str) -> str:
    """A database URL without its password, for logs and messages."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:…@", re.sub(r"(?i)(password=)[^&\s]*", r"\1…", url))


# --- keys ------------------------------------------------------------------------------------------------------------


def _honoured_keys(section: type[Struct]) -> KeyTree:
    tree: KeyTree = {}
    for field in msgspec.structs.fields(section):
        members = [
            t for t in getattr(field.type, "__args__", (field.type,)) if isinstance(t, type) and issubclass(t, Struct)
        ]
        subtrees = [_honoured_keys(member) for member in members]
        tree[field.encode_name] = {k: v for subtree in subtrees for k, v in subtree.items()} if subtrees else None
    if section.__struct_config__.tag_field:
        tree[section.__struct_config__.tag_field] = None
    return tree


_HONOURED = _honoured_keys(NexusConfig)
del _HONOURED["not_simulated"]


def _check_keys(
    table: dict[str, Any], honoured: KeyTree, not_simulated: KeyTree, path: tuple[str, ...]
) -> Iterator[str]:
    """The keys in `table` that are not simulated; raises ConfigError at the first that is not known at all."""
    for key, value in table.items():
        here = (*path, key)
        if key not in honoured and key not in not_simulated and ANY_KEY not in not_simulated:
            raise ConfigError(_unknown_key(here, [*honoured, *not_simulated]))
        below_honoured = honoured.get(key) or {}
        below_not_simulated = not_simulated.get(key) or {}
        if not isinstance(value, dict) or not (below_honoured or below_not_simulated):
            if key not in honoured:
                yield ".".join(here)
        elif key in honoured:
            yield from _check_keys(value, below_honoured, below_not_simulated, here)
        else:
            for _ in _check_keys(value, {}, below_not_simulated, here):
                pass
            yield ".".join(here)


def _unknown_key(path: tuple[str, ...], siblings: list[str]) -> str:
    *parents, key = path
    what = "section" if not parents else "key"
    message = f'unknown {what} "{".".join(path)}"'
    if key in RENAMED:
        return f'{message}: it is now called "{".".join((*parents, RENAMED[key]))}"'
    elsewhere = [known for known in honoured_keys() if known.rpartition(".")[2] == key]
    if elsewhere:
        return f'{message}: did you mean "{elsewhere[0]}"?'
    (nearest,) = difflib.get_close_matches(key, siblings, n=1, cutoff=0.0)
    return f'{message}: the nearest known one is "{".".join((*parents, nearest))}"'


def _all_keys(tree: KeyTree, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, below in tree.items():
        yield (*path, key)
        yield from _all_keys(below or {}, (*path, key))


def _key_first(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.a.b`" as "a.b: expected int, got str"."""
    reason, at, path = message.rpartition(" - at `$.")
    if not at:
        return (reason or message).replace("`", "").replace("Object missing required field", "missing key")
    key = path.rstrip("`").replace("[...]", "")
    reason = reason.replace("`object`", "table").replace("`", "")
    if missing := re.fullmatch("Object missing required field (.*)", reason):
        return f"missing key {key}.{missing[1]}"
    return f"{key}: {reason[:1].lower()}{reason[1:]}"


# --- values ----------------------------------------------------------------------------------------------------------

_PLACEHOLDER = "PORT"
"""What `configs/config-second.toml` has where the user is to put a port."""

_TO_BE_EDITED = (
    ("deployment", "internal_dns", "address"),
    ("deployment", "database", "url"),
    ("mgd", "switch0", "address"),
    ("mgd", "switch1", "address"),
)


def _refuse_unedited(tables: dict[str, Any]) -> None:
    left = [".".join(path) for path in _TO_BE_EDITED if _PLACEHOLDER in str(_lookup(tables, path))]
    if any(not key.startswith("mgd.") for key in left):  # those two are not used: no reason to refuse
        raise ConfigError(
            f"not edited yet: {', '.join(left)} still {'has' if len(left) == 1 else 'have'} PORT for a port; put in "
            "the addresses that `omicron-dev run-all` printed (see the end of the file)"
        )


def _lookup(tables: dict[str, Any], path: tuple[str, ...]) -> object:
    value: Any = tables
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _quoting_uuid(message: str, tables: dict[str, Any]) -> str:
    """`message` with the value it is about, which msgspec leaves out for UUIDs."""
    key, _, reason = message.partition(": ")
    return f"{message} {_lookup(tables, tuple(key.split('.')))!r}" if reason == "invalid UUID" else message


def _parse_address(key: str, text: str) -> SocketAddr:
    try:
        return SocketAddr.parse(text)
    except ValueError as exc:
        raise ValueError(f"{key}: {exc}") from None
