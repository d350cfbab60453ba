"""The configuration files of a stack's Nexuses: a given file with this stack's addresses put in."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import tomli_w

from dropshot.address import SocketAddr
from simstack.errors import SimstackError

if TYPE_CHECKING:
    from pathlib import Path


class BadNexusConfig(SimstackError):
    """The given file cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class NexusTemplate:
    """A Nexus configuration file as given, of which only the addresses are looked at here; Nexus checks the rest."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> NexusTemplate:
        """Raises BadNexusConfig."""
        try:
            content = tomllib.loads(path.read_text())
        except OSError as exc:
            raise BadNexusConfig(f"cannot read {path}: {exc.strerror}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise BadNexusConfig(f"{path} is not TOML: {exc}") from exc
        return cls(path, content)

    @property
    def nexus_id(self) -> UUID:
        text = self._deployment("id")
        try:
            return UUID(text)
        except ValueError as exc:
            raise BadNexusConfig(f"{self.path}: deployment.id: {text!r} is not a UUID") from exc

    @property
    def external_address(self) -> SocketAddr:
        return self._address("dropshot_external")

    @property
    def internal_address(self) -> SocketAddr:
        return self._address("dropshot_internal")

    def _address(self, server: str) -> SocketAddr:
        text = self._deployment(server, "bind_address")
        try:
            return SocketAddr.parse(text)
        except ValueError as exc:
            raise BadNexusConfig(f"{self.path}: deployment.{server}.bind_address: {exc}") from exc

    def _deployment(self, *keys: str) -> str:
        value: Any = self.content.get("deployment")
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise BadNexusConfig(f"{self.path}: deployment.{'.'.join(keys)} is missing")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusSettings:
    """Who a Nexus is, where it listens, what it uses. Ports may be 0.

    `log` is the file it logs to; without one it logs as the template says.
    """

    id: UUID
    external_address: SocketAddr
    internal_address: SocketAddr
    database_url: str
    internal_dns: SocketAddr
    log: Path | None
    gateways: tuple[SocketAddr, ...] = ()


def write_nexus_config(template: NexusTemplate, settings: NexusSettings, path: Path) -> None:
    """Write `template` with `settings` put in, readable by its owner alone (a database URL may hold a password)."""
    content = dict(template.content)
    deployment = dict(content["deployment"])
    deployment["id"] = str(settings.id)
    for server, address in (
        ("dropshot_external", settings.external_address),
        ("dropshot_internal", settings.internal_address),
    ):
        deployment[server] = {**deployment.get(server, {}), "bind_address": str(address)}
    if "dropshot_lockstep" in deployment and settings.internal_address.port == 0:
        deployment["dropshot_lockstep"] = {
            **deployment["dropshot_lockstep"],
            "bind_address": str(settings.internal_address),
        }
    deployment["internal_dns"] = {"type": "from_address", "address": str(settings.internal_dns)}
    deployment["database"] = {"type": "from_url", "url": settings.database_url}
    content["deployment"] = deployment
    if settings.log is not None:
        level = content.get("log", {}).get("level", "info")
        content["log"] = {"level": level, "mode": "file", "path": str(settings.log), "if_exists": "append"}
    if settings.gateways:
        content["mgd"] = {f"switch{n}": {"address": str(address)} for n, address in enumerate(settings.gateways)}
    path.touch(mode=0o600)
    path.write_text(tomli_w.dumps(content))


def settle_ports(path: Path, *, external_address: SocketAddr, internal_address: SocketAddr) -> None:
    """Where a Nexus' own file leaves a port open, put in the one that it has got. All else in it stays.

    A file that cannot be read is left as it is: Nexus says what is wrong with it.
    """
    try:
        template = NexusTemplate.read(path)
        is_open = 0 in (template.external_address.port, template.internal_address.port)
    except BadNexusConfig:
        return
    if is_open:
        deployment = template.content["deployment"]
        for server, address in (("dropshot_external", external_address), ("dropshot_internal", internal_address)):
            if SocketAddr.parse(deployment[server]["bind_address"]).port == 0:
                deployment[server]["bind_address"] = str(address)
        path.write_text(tomli_w.dumps(template.content))
