"""The external API, as far as it is simulated: logging in to a silo, who am I, logging out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from quart import request

from dropshot.app import no_content, read_json, reply
from nexus.api.http_errors import answer_errors
from nexus.api.types import Ping

if TYPE_CHECKING:
    from quart_trio.wrappers import TrioResponse

    from dropshot.app import App
    from nexus.startup import Startup

COOKIE = "session"


class Credentials(msgspec.Struct, frozen=True):
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=…)"


class CurrentUser(msgspec.Struct, frozen=True):
    id: UUID
    display_name: str
    silo_id: UUID
    silo_name: str


def add_external_routes(app: App, startup: Startup) -> None:
    answer_errors(app)

    @app.get("/v1/ping")
    async def ping() -> TrioResponse:
        return reply(Ping())

    @app.post("/v1/login/<silo_name>/local")
    async def login_local(silo_name: str) -> TrioResponse:
        logins = startup.services.logins
        credentials = await read_json(Credentials)
        token = await logins.log_in(silo_name=silo_name, user_name=credentials.username, password=credentials.password)
        return _with_cookie(no_content(), token, max_age_s=round(logins.absolute_timeout.total_seconds()))

    @app.get("/v1/me")
    async def current_user_view() -> TrioResponse:
        user = await startup.services.logins.user(request.cookies.get(COOKIE))
        return reply(CurrentUser(user.id, user.name, user.silo_id, user.silo_name))

    @app.post("/v1/logout")
    async def logout() -> TrioResponse:
        await startup.services.logins.log_out(request.cookies.get(COOKIE))
        return _with_cookie(no_content(), "", max_age_s=0)


def _with_cookie(response: TrioResponse, value: str, *, max_age_s: int) -> TrioResponse:
    response.headers["set-cookie"] = f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}"
    return response
