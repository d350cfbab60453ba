"""What a Nexus that cannot start says."""

from __future__ import annotations

import io

import pytest

import nexus.server as server_module
from dropshot.logging import BunyanForm, log_to
from dropshot.server import AddressInUse
from nexus.config import parse_config
from nexus.notify import Notifier
from nexus.server import StartupError, serve_nexus

CONFIG = """
[deployment]
id = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"
rack_id = "c19a698f-c6f9-4a17-ae30-20d711b8f7dc"
dropshot_external.bind_address = "127.0.0.1:0"
dropshot_internal.bind_address = "127.0.0.1:0"
internal_dns = { type = "from_address", address = "127.0.0.1:9" }
database = { type = "from_url", url = "postgresql://root@127.0.0.1:9/omicron" }
"""


async def test_an_address_that_is_taken_is_one_line_from_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ExceptionGroup("server", [ExceptionGroup("hypercorn", [AddressInUse("cannot listen on here: in use")])])

    monkeypatch.setattr(server_module, "_serve_internal", fail)
    log = log_to(io.StringIO(), form=BunyanForm())
    with pytest.raises(StartupError, match=r"^cannot listen on here: in use$"):
        await serve_nexus(parse_config(CONFIG), log=log, notifier=Notifier.from_environment())
