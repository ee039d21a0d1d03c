"""A fake Gemini that answers every call with the same image after a fixed latency, with as little work as possible.

`python -m benchmarks.fake_gemini --port 8790 --latency 5`. `POST /latency` sets another latency. `POST /__script`
sets the answer of the next call (`local.gemini.script.Scripted`). `GET /image.png` is an input for requests by URL.
"""

import argparse
import asyncio
import sys

from aiohttp import web

from benchmarks.images import INPUT_BYTES, OUTPUT_BYTES, noise, reply
from local.gemini.script import Script, Scripted
from local.gemini.server import send
from local.processes import wait_for_shutdown

MAX_BODY_BYTES = 120_000_000


def command(port: int, latency: float) -> list[str]:
    """Return the command line that serves it on `port`."""
    return [sys.executable, "-m", __name__, "--port", str(port), "--latency", str(latency)]


async def main(port: int, latency: float) -> None:
    """Serve until shutdown."""
    answer, image = reply(noise(OUTPUT_BYTES, seed=3)), noise(INPUT_BYTES)
    script = Script()

    async def generate(request: web.Request) -> web.StreamResponse:
        async for _ in request.content.iter_any():
            pass  # the request is read and not kept: it changes nothing
        reply = script.next("")
        await asyncio.sleep(reply.delay or latency)
        if reply.body is None and reply.cut is None:
            return web.Response(body=answer, content_type="application/json")
        return await send(request, reply, answer.decode() if reply.body is None else reply.body)

    async def scripted(request: web.Request) -> web.Response:
        script.add(Scripted(**await request.json()))
        return web.Response()

    async def set_latency(request: web.Request) -> web.Response:
        nonlocal latency
        latency = float(await request.text())
        return web.Response()

    async def input_image(_: web.Request) -> web.Response:
        return web.Response(body=image, content_type="image/png")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1beta/models/{call}", generate)
    app.router.add_post("/latency", set_latency)
    app.router.add_post("/__script", scripted)
    app.router.add_get("/image.png", input_image)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await wait_for_shutdown()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake Gemini for benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.latency))
