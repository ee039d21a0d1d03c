"""The browser's origin: a development sign-in and a start page, and `/api` behind it as Static Web Apps has it.

`python -m local.front --port 4280 --api http://127.0.0.1:7071`
"""

import argparse
import asyncio
import html
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web

from image_core.session.cookies import NAMES
from local import nextauth
from local.lifetime import until_told_to_stop

API_SECONDS = 45
"""After which Static Web Apps gives a call to /api up."""
MAX_BODY_BYTES = 30 * 1000 * 1000
PAGE = Path(__file__).parent / "page"
HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_CHUNK = re.compile(r"\.\d+$")


class Front:
    def __init__(self, api: str, secret: str) -> None:
        self._api = api.rstrip("/")
        self._secret = secret
        self._http: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/", self._start)
        app.router.add_get("/start.css", self._style)
        app.router.add_post("/signin", self._sign_in)
        app.router.add_post("/signout", self._sign_out)
        app.router.add_route("*", "/api/{path:.*}", self._forward)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        if self._http is not None:
            await self._http.close()

    async def _start(self, request: web.Request) -> web.Response:
        signed_in = any(_CHUNK.sub("", name) in NAMES for name in request.cookies)
        page = (PAGE / "start.html").read_text(encoding="utf-8")
        page = page.replace("{state}", "signed-in" if signed_in else "signed-out")
        page = page.replace("{name}", html.escape(nextauth.DEFAULT_USER["name"]))
        return web.Response(text=page, content_type="text/html", headers={**SECURITY, "Cache-Control": "no-store"})

    async def _style(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "start.css")

    async def _sign_in(self, request: web.Request) -> web.Response:
        """A real NextAuth session for whatever name was given, with no password: for this machine only."""
        name = str((await request.post()).get("name", "")).strip()[:100]
        user = dict(nextauth.DEFAULT_USER)
        if name and name != user["name"]:
            local_part = re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".") or "somebody"
            user = {"name": name, "email": f"{local_part}@example.com", "sub": local_part}
        response = web.Response(status=303, headers={"Location": "/"})
        for cookie, value in nextauth.session_cookies(self._secret, user, datetime.now(UTC)).items():
            response.set_cookie(cookie, value, httponly=True, samesite="Lax", path="/", max_age=nextauth.DAYS_30)
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/"})
        for name in request.cookies:
            if _CHUNK.sub("", name) in NAMES:
                response.del_cookie(name, path="/")
        return response

    async def _forward(self, request: web.Request) -> web.Response:
        """One call of the API: the browser's own address in a header, no cookie from behind, 45 seconds."""
        if self._http is None:
            self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {*HOP_HEADERS, "host"}}
        headers["x-ms-original-url"] = str(request.url)
        try:
            body = await request.read()
            async with (
                asyncio.timeout(API_SECONDS),
                self._http.request(
                    request.method,
                    self._api + request.raw_path,
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                ) as answer,
            ):
                data = await answer.read()
        except TimeoutError:
            return web.Response(status=504, text="The API did not answer within 45 seconds")
        except aiohttp.ClientError:
            return web.Response(status=502, text="The API cannot be reached")
        return web.Response(status=answer.status, body=data, headers=_passed_on(answer.headers))


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    dropped = {*HOP_HEADERS, "set-cookie", "server", "date"}
    return {name: value for name, value in headers.items() if name.lower() not in dropped}


async def main(port: int, api: str) -> None:
    runner = web.AppRunner(
        Front(api, os.environ["NEXTAUTH_SECRET"]).application(), access_log=None, shutdown_timeout=0.5
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        sys.exit(f"the front cannot listen on port {port}: {error.strerror}")
    await until_told_to_stop()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The browser's origin of the local stack.")
    parser.add_argument("--port", type=int, default=4280)
    parser.add_argument("--api", default="http://127.0.0.1:7071")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.api))
