"""The browser's origin: the playground, a development sign-in, and `/api` with the rules of Static Web Apps.

`python -m local.front --port 4280 --api http://127.0.0.1:7071`; the product's settings are in the environment.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from image_core.auth.cookies import NAMES
from image_core.auth.sessions import sessions_from
from image_core.errors import ImageError
from image_core.settings import Settings
from local import nextauth
from local.processes import wait_for_shutdown

API_SECONDS = 45.0
"""Static Web Apps ends a call of /api after this time."""
MAX_BODY_BYTES = 30 * 1000 * 1000
MAX_HEADER_BYTES = 32_768
"""The longest header: the Functions host's limit for all. A session in several cookies exceeds aiohttp's 8190."""
PLAYGROUND = Path(__file__).parent.parent / "playground"
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
NOT_SERVED = {"staticwebapp.config.json"}
_CHUNK = re.compile(r"\.\d+$")


def command(port: int, api: str, api_seconds: float = API_SECONDS) -> list[str]:
    """Return the command line that serves the front on `port`, with the API at `api` behind it."""
    options = ("--port", str(port), "--api", api, "--api-seconds", str(api_seconds))
    return [sys.executable, "-m", __name__, *options]


class Front:
    """Answers the browser."""

    def __init__(self, api: str, secret: str, storage: str, api_seconds: float = API_SECONDS) -> None:
        """`storage` is the origin of public images, or empty; `api_seconds` the longest time for a call of /api."""
        self._api = api.rstrip("/")
        self._secret = secret
        self._sessions = sessions_from(Settings.read({"NEXTAUTH_SECRET": secret}))
        self._headers = security_headers(storage)
        self._api_seconds = api_seconds
        self._http: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/auth/session", self._session)
        # Static Web Apps accepts no POST outside /api.
        app.router.add_get("/signin", self._sign_in)
        app.router.add_get("/signout", self._sign_out)
        app.router.add_route("*", "/api/{path:.*}", self._forward)
        app.router.add_get("/{file:[a-z.]*}", self._page)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        if self._http is not None:
            await self._http.close()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file of the playground and the headers of the deployed page."""
        path = PLAYGROUND / (request.match_info["file"] or "index.html")
        if path.name in NOT_SERVED or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={**self._headers, "Cache-Control": "no-cache"})

    async def _session(self, request: web.Request) -> web.Response:
        """Answer as NextAuth does: with the user of a valid session, else with an empty object."""
        try:
            user = await self._sessions.user({"cookie": request.headers.get("Cookie", "")})
        except ImageError:
            return web.json_response({}, headers={"Cache-Control": "no-store"})
        expires = datetime.now(UTC) + timedelta(seconds=nextauth.DAYS_30)
        shown = {"name": user.id.partition("@")[0], "email": user.id}
        return web.json_response({"user": shown, "expires": expires.isoformat()}, headers={"Cache-Control": "no-store"})

    async def _sign_in(self, request: web.Request) -> web.Response:
        """Set the cookies of a NextAuth session for the given name. There is no password: for this machine only."""
        name = request.query.get("name", "").strip()[:100]
        user = dict(nextauth.DEFAULT_USER)
        if name and name != user["name"]:
            local_part = re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".") or "anonymous"
            user = {"name": name, "email": f"{local_part}@example.com", "sub": local_part}
        response = web.Response(status=303, headers={"Location": "/"})
        for cookie, value in nextauth.session_cookies(self._secret, user, datetime.now(UTC)).items():
            response.set_cookie(cookie, value, httponly=True, samesite="Lax", path="/", max_age=nextauth.DAYS_30)
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        """Delete the session's cookies."""
        response = web.Response(status=303, headers={"Location": "/"})
        for name in request.cookies:
            if _CHUNK.sub("", name) in NAMES:
                response.del_cookie(name, path="/")
        return response

    async def _forward(self, request: web.Request) -> web.Response:
        """Forward a call to the API within the time limit: the browser's URL in a header, no cookies in the answer."""
        if self._http is None:
            self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        dropped = {*HOP_HEADERS, "host"}
        headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in dropped)
        headers["x-ms-original-url"] = str(request.url)
        try:
            body = await request.read()
            async with (
                asyncio.timeout(self._api_seconds),
                self._http.request(
                    request.method,
                    self._api + request.raw_path,
                    headers=headers,
                    data=body or None,
                    skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
                    allow_redirects=False,
                ) as answer,
            ):
                data = await answer.read()
        except TimeoutError:
            return web.Response(status=504, text=f"The API did not answer within {self._api_seconds:g} seconds")
        except aiohttp.ClientError:
            return web.Response(status=502, text="The API cannot be reached")
        return web.Response(status=answer.status, body=data, headers=_passed_on(answer.headers))


def security_headers(storage: str) -> dict[str, str]:
    """Return the deployed page's headers (`playground/staticwebapp.config.json`), with the origin of local images."""
    deployed = json.loads((PLAYGROUND / "staticwebapp.config.json").read_text(encoding="utf-8"))["globalHeaders"]
    policy = deployed["Content-Security-Policy"].replace("https://*.blob.core.windows.net", storage)
    return {**deployed, "Content-Security-Policy": policy}


def storage_origin(environment: Mapping[str, str]) -> str:
    """Return the origin of public images, from the connection string or the account's URL; empty without either."""
    connection = environment.get("AZURE_STORAGE_CONNECTION_STRING", "")
    parts = dict(part.partition("=")[::2] for part in connection.split(";") if part)
    account = f"https://{parts.get('AccountName')}.blob.core.windows.net" if parts.get("AccountName") else ""
    address = urlsplit(parts.get("BlobEndpoint") or account or environment.get("AZURE_STORAGE_ACCOUNT_URL", ""))
    return f"{address.scheme}://{address.netloc}" if address.netloc else ""


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    dropped = {*HOP_HEADERS, "set-cookie", "server", "date"}
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


def server(front: Front) -> web.AppRunner:
    """Return the front's server, with the header limits of Static Web Apps."""
    return web.AppRunner(
        front.application(),
        access_log=None,
        shutdown_timeout=0.5,
        auto_decompress=False,
        max_field_size=MAX_HEADER_BYTES,
        max_line_size=MAX_HEADER_BYTES,
    )


async def main(port: int, api: str, api_seconds: float) -> None:
    """Serve until shutdown."""
    runner = server(Front(api, os.environ["NEXTAUTH_SECRET"], storage_origin(os.environ), api_seconds))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        sys.exit(f"front: port {port} cannot be used ({error.strerror}): set FRONT_PORT to another")
    await wait_for_shutdown()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The browser's origin of the local stack.")
    parser.add_argument("--port", type=int, default=4280)
    parser.add_argument("--api", default="http://127.0.0.1:7071")
    parser.add_argument("--api-seconds", type=float, default=API_SECONDS, help="time limit of a call to /api")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.api, arguments.api_seconds))
