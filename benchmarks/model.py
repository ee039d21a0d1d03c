"""The stand-in of the benchmarks: every call is answered after a fixed latency with one picture, at the least cost.

`python -m benchmarks.model --port 0 --latency 5`. `POST /latency` sets it anew, `POST /__script` says what the next call is
answered instead (`local.gemini.script.Scripted`); `GET /picture.png` is an input by address.
"""

import argparse
import asyncio

from aiohttp import web

from benchmarks.pictures import INPUT_BYTES, OUTPUT_BYTES, noise, reply
from local.gemini.script import Script, Scripted
from local.gemini.server import send
from local.processes import wait_for_shutdown

MAX_BODY_BYTES = 120_000_000


async def main(port: int, latency: float) -> None:
    answer, picture = reply(noise(OUTPUT_BYTES, seed=3)), noise(INPUT_BYTES)
    waits, script = {"seconds": latency}, Script()

    async def generate(request: web.Request) -> web.StreamResponse:
        async for _ in request.content.iter_any():
            pass  # what is asked changes nothing: it is read, and not kept
        reply = script.next("")
        await asyncio.sleep(reply.delay or waits["seconds"])
        if reply.body is None and reply.cut is None:
            return web.Response(body=answer, content_type="application/json")
        return await send(request, reply, answer.decode() if reply.body is None else reply.body)

    async def scripted(request: web.Request) -> web.Response:
        script.add(Scripted(**await request.json()))
        return web.Response()

    async def set_latency(request: web.Request) -> web.Response:
        waits["seconds"] = float(await request.text())
        return web.Response()

    async def shown(_: web.Request) -> web.Response:
        return web.Response(body=picture, content_type="image/png")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/v1beta/models/{call}", generate)
    app.router.add_post("/latency", set_latency)
    app.router.add_post("/__script", scripted)
    app.router.add_get("/picture.png", shown)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await wait_for_shutdown()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The model of the benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.latency))
