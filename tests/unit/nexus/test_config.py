"""Configuration files: what is accepted, and what a mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from upstream_config import UPSTREAM_ONLY, UPSTREAM_TASKS

from dropshot.address import SocketAddr
from nexus.config import (
    BackgroundTasksConfig,
    ConfigError,
    ConsoleConfig,
    DatabaseFromDns,
    DatabaseFromUrl,
    NexusConfig,
    honoured_keys,
    load_config,
    parse_config,
    redact_url,
)

CONFIGS = Path(__file__).parents[3] / "configs"

MINIMAL = """
[deployment]
id = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"
rack_id = "c19a698f-c6f9-4a17-ae30-20d711b8f7dc"
[deployment.dropshot_external]
bind_address = "127.0.0.1:12220"
[deployment.dropshot_internal]
bind_address = "[::1]:12221"
[deployment.internal_dns]
type = "from_address"
address = "[::1]:3535"
[deployment.database]
type = "from_url"
url = "postgresql://root@[::1]:32221/omicron?sslmode=disable"
"""


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_deployment_has_keys_without_default() -> None:
    config = parse_config(MINIMAL)
    assert config.console == ConsoleConfig()
    assert config.background_tasks == BackgroundTasksConfig()
    assert config.log.mode == "stderr-terminal"
    assert config.deployment.dropshot_external.address == SocketAddr("127.0.0.1", 12220)
    assert config.deployment.dropshot_internal.default_request_body_max_bytes == 1048576
    assert config.deployment.internal_dns.servers == (SocketAddr("::1", 3535),)
    assert config.not_simulated == ()


def test_the_first_example_lists_every_key_with_its_default() -> None:
    path = CONFIGS / "config.toml"
    assert load_config(path) == parse_config(MINIMAL)
    text = path.read_text()
    assert [key for key in honoured_keys() if key.rpartition(".")[2] not in text] == []


def test_the_second_example_says_what_to_edit_until_it_is_edited(tmp_path: Path) -> None:
    text = (CONFIGS / "config-second.toml").read_text()
    path = tmp_path / "config-second.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == (
        f'parse "{path}": not edited yet: deployment.internal_dns.address, deployment.database.url, '
        "mgd.switch0.address, mgd.switch1.address still have PORT for a port; put in the addresses that "
        "`omicron-dev run-all` printed (see the end of the file)"
    )
    assert refusal(text.replace("PORT/", "5432/")).startswith("not edited yet: deployment.internal_dns.address, mgd")
    config = parse_config(text.replace("PORT/", "5432/", 1).replace('"[::1]:PORT"', '"[::1]:53"'))
    assert str(config.deployment.id) == "a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f"
    assert config.deployment.dropshot_internal.address == SocketAddr("::1", 12223)
    assert config.not_simulated == ("mgd",)


def test_what_only_upstream_has_is_accepted_and_named() -> None:
    text = UPSTREAM_ONLY + MINIMAL + "[console]\nstatic_dir = 'out'\n[background_tasks]\n" + UPSTREAM_TASKS
    text = text.replace(
        "[deployment]", '[deployment]\nexternal_dns_servers = ["1.1.1.1"]\ntechport_external_server_port = 0'
    )
    config = parse_config(text)
    assert config.not_simulated[:3] == ("authn", "timeseries_db", "tunables")
    assert {"deployment.external_dns_servers", "console.static_dir", "background_tasks.fm"} < set(config.not_simulated)
    differs = "[background_tasks]\nblueprints.period_secs_load = 10\n"
    assert msgspec.structs.replace(config, not_simulated=()) == parse_config(MINIMAL + differs)


def test_periods() -> None:
    config = parse_config(
        MINIMAL + "[background_tasks]\nsaga_recovery.period_secs = 7\ndns_internal.period_secs_servers = 8\n"
        "session_cleanup.max_delete_per_activation = 9\n"
    )
    assert config.background_tasks.saga_recovery.period_secs == 7
    assert config.background_tasks.dns_internal.period_secs_servers == 8
    assert config.background_tasks.dns_external.period_secs_servers == 60
    assert config.background_tasks.session_cleanup.max_delete_per_activation == 9
    assert config.not_simulated == ()


def test_dns_from_subnet_and_database_from_dns() -> None:
    text = MINIMAL.partition("[deployment.internal_dns]")[0] + (
        '[deployment.internal_dns]\ntype = "from_subnet"\nsubnet.net = "fd00:1122:3344:0100::/56"\n'
        '[deployment.database]\ntype = "from_dns"\n'
    )
    deployment = parse_config(text).deployment
    assert isinstance(deployment.database, DatabaseFromDns)
    assert deployment.internal_dns.servers == (
        SocketAddr("fd00:1122:3344:101::1", 53),
        SocketAddr("fd00:1122:3344:102::1", 53),
        SocketAddr("fd00:1122:3344:103::1", 53),
    )
    assert "must be a /56" in refusal(text.replace("/56", "/64"))
    assert "is not an IPv6 network" in refusal(text.replace("fd00:1122:3344:0100::/56", "10.0.0.0/8"))


def test_lockstep_is_optional_and_on_the_same_address() -> None:
    text = MINIMAL + '[deployment.dropshot_lockstep]\nbind_address = "[::1]:12232"\n'
    lockstep = parse_config(text).deployment.dropshot_lockstep
    assert lockstep is not None
    assert lockstep.address == SocketAddr("::1", 12232)
    assert "must have the same IP address" in refusal(text.replace("[::1]:12232", "127.0.0.1:12232"))


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("[databse]\n", 'unknown section "databse": the nearest known one is "'),
        ("[background_task]\n", 'unknown section "background_task": the nearest known one is "background_tasks"'),
        (
            "[console]\nsession_idle_timeout = 1\n",
            'unknown key "console.session_idle_timeout": the nearest known one is '
            '"console.session_idle_timeout_minutes"',
        ),
        (
            "[background_tasks]\nsaga_recover.period_secs = 1\n",
            'the nearest known one is "background_tasks.saga_recovery"',
        ),
        (
            "[background_tasks]\nsaga_recovery.period = 1\n",
            'unknown key "background_tasks.saga_recovery.period": the nearest known one is '
            '"background_tasks.saga_recovery.period_secs"',
        ),
        ("[tunables]\nmax_prefix = 1\n", 'the nearest known one is "tunables.max_vpc_ipv4_subnet_prefix"'),
        ("[database]\nurl = 'x'\n", 'unknown section "database": did you mean "deployment.database"?'),
        ("[log]\nlevel = 'verbose'\n", "log.level: invalid enum value 'verbose'"),
        ("[log]\nmode = 'file'\n", 'log: mode "file" needs a path'),
        ("[log]\npath = 'x'\n", 'log: path and if_exists go with mode "file" only'),
        (
            "[console]\nsession_idle_timeout_minutes = '8h'\n",
            "console.session_idle_timeout_minutes: expected int, got str",
        ),
        ("console = 3\n", "console: expected table, got int"),
        (
            "[background_tasks]\nsaga_recovery.period_secs = 0\n",
            "background_tasks.saga_recovery.period_secs: expected int >= 1",
        ),
        ("[background_tasks]\nsaga_recovery = 5\n", "background_tasks.saga_recovery: expected table, got int"),
        ("][", "not TOML: "),
    ],
)
def test_mistakes(addition: str, message: str) -> None:
    assert message in refusal(addition + MINIMAL)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('bind_address = "[::1]:12221"', "", "missing key deployment.dropshot_internal.bind_address"),
        ('id = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"', "", "missing key deployment.id"),
        ("e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c", "me", "deployment.id: invalid UUID 'me'"),
        (
            "[::1]:12221",
            "localhost:12221",
            "deployment.dropshot_internal: bind_address: 'localhost:12221' is not an address",
        ),
        ("from_address", "from_adress", "deployment.internal_dns.type: invalid value 'from_adress'"),
        ('type = "from_url"\n', "", "missing key deployment.database.type"),
        ("postgresql://", "mysql://", "deployment.database: url: expected postgresql://…, got 'mysql://root@"),
        ("[deployment.database]\n", "[deployment.databases]\n", 'unknown key "deployment.databases"'),
        (
            '[::1]:12221"',
            '[::1]:12221"\nrequest_body_max_bytes = 1',
            'it is now called "deployment.dropshot_internal.default_request_body_max_bytes"',
        ),
        ('127.0.0.1:12220"', '127.0.0.1:12220"\ntls = true', "deployment.dropshot_external: tls: TLS is not simulated"),
        (
            "[deployment.internal_dns]",
            '[deployment.dropshot_debug]\nbind_address = "[::1]:1"\n[deployment.internal_dns]',
            'it is now called "deployment.dropshot_lockstep"',
        ),
    ],
)
def test_mistakes_in_deployment(old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    assert message in refusal(MINIMAL.replace(old, new))


def test_an_empty_file_misses_deployment() -> None:
    assert refusal("") == "missing key deployment"


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nexus.toml"
    with pytest.raises(ConfigError, match=re.escape(f'read "{path}": No such file or directory')):
        load_config(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=re.escape(f'parse "{path}": not UTF-8')):
        load_config(path)
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)


def test_passwords_stay_out_of_what_is_shown() -> None:
    url = "postgresql://me:s3cret@[::1]:5432/omicron?sslmode=disable&password=s3cret"
    assert "s3cret" not in redact_url(url)
    assert redact_url("postgresql://root@[::1]:1/omicron") == "postgresql://root@[::1]:1/omicron"
    config = parse_config(MINIMAL.replace("postgresql://root@", "postgresql://root:s3cret@"))
    assert isinstance(config.deployment.database, DatabaseFromUrl)
    assert "s3cret" not in repr(config)
    assert isinstance(config, NexusConfig)
