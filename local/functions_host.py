"""A small Functions host: `python -m local.functions_host --port 7071`.

It loads `function_app.py` unchanged and does for it what `func start` does, where Core Tools are not installed.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from local.functions.application import Application, CannotServe, load
from local.functions.change_feed import Databases
from local.functions.http import MAX_BODY_BYTES, HttpFront
from local.functions.invocation import Invoker
from local.functions.queues import Queues, QueueSettings
from local.functions.timers import run_timer
from local.lifetime import watch_parent

log = logging.getLogger("local.functions")

GRACE_SECONDS = "FUNCTIONS_HOST_GRACE_SECONDS"
"""How long running invocations may go on after a stop signal; the real host gives a worker about as much."""


CLOSE_SECONDS = 1.0


async def serve(application: Application, port: int) -> None:
    """Serve until a stop signal. Raises CannotServe."""
    queues = Queues(QueueSettings.read(application.extension("queues")))
    databases = Databases()
    invoker = Invoker(queues, databases)
    front = HttpFront(application, invoker)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", front.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, os.environ.get("FUNCTIONS_HOST_ADDRESS", "127.0.0.1"), port).start()
    except OSError as error:
        raise CannotServe(f"port {port} is taken: set PORT to another ({error.strerror})") from error
    listeners = []
    for function in application.functions:
        if function.trigger["type"] == "timerTrigger":
            listeners.append(asyncio.create_task(run_timer(function, invoker)))
        elif function.trigger["type"] == "queueTrigger":
            listeners.append(asyncio.create_task(queues.listen(function, invoker)))
        elif function.trigger["type"] == "cosmosDBTrigger":
            listeners.append(asyncio.create_task(databases.listen(function, invoker)))
    print(_described(application, front, port), flush=True)
    stop = _stop_event()
    watch_parent(stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *listeners}, return_when=asyncio.FIRST_COMPLETED)
    for listener in listeners:
        listener.cancel()
    ended = await asyncio.gather(*listeners, return_exceptions=True)
    await runner.cleanup()
    await invoker.drain(float(os.environ.get(GRACE_SECONDS, "3")))
    await queues.close()
    await databases.close()
    if application.product is not None:
        with contextlib.suppress(TimeoutError):  # what still runs is left to the recovery, as in Azure
            await asyncio.wait_for(application.product.close(), CLOSE_SECONDS)
    for result in ended:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM and SIGINT. The app may put its own handler before this one, and is called first then."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _described(application: Application, front: HttpFront, port: int) -> str:
    lines = ["Functions:"]
    for route in front.routes:
        path = f"{application.route_prefix}/{route.function.trigger.get('route') or route.function.name}"
        lines.append(f"  {route.function.name}: [{','.join(sorted(route.methods))}] http://localhost:{port}/{path}")
    others = [function for function in application.functions if function.trigger["type"] != "httpTrigger"]
    lines += [f"  {function.name}: {function.trigger['type']}" for function in others]
    return "\n".join(lines)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Serve a function app.")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        asyncio.run(serve(load(arguments.root.resolve()), arguments.port))
    except CannotServe as error:
        print(f"functions host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
