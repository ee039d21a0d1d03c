"""A small Functions host: `python -m local.functions_host --port 7071`.

It loads `function_app.py` unchanged and does for it what `func start` does, where Core Tools are not installed. What it
does as Azure's host does it, and what not: `local/functions/README.md`.

SIGINT, and the end of the process that started it, stop it. SIGTERM is left to the app, as in Azure's worker: without a
handler of the app the process ends by the signal.
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
from local.functions.http import HttpFront
from local.functions.http import runner as http_runner
from local.functions.invocation import Invoker
from local.functions.logs import HostFilter, Levels, console
from local.functions.queues import Queues, QueueSettings
from local.functions.timers import run_timer
from local.lifetime import watch_parent

log = logging.getLogger("local.functions")

CLOSE_SECONDS = 1.0


async def serve(application: Application, port: int) -> None:
    """Serve until a stop signal. Raises CannotServe."""
    queues = Queues(QueueSettings.read(application.extension("queues")))
    databases = Databases()
    invoker = Invoker(queues, databases)
    front = HttpFront(application, invoker)
    runner = http_runner(front.handle)
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
    print(_described(application, front, port), file=sys.__stdout__, flush=True)
    stop = _stop_event()
    watch_parent(stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *listeners}, return_when=asyncio.FIRST_COMPLETED)
    for listener in listeners:
        listener.cancel()
    ended = await asyncio.gather(*listeners, return_exceptions=True)
    await runner.cleanup()
    invoker.close()
    await queues.close()
    await databases.close()
    if application.product is not None:
        with contextlib.suppress(TimeoutError):  # what still runs is left to the recovery, as in Azure
            await asyncio.wait_for(application.product.close(), CLOSE_SECONDS)
    for result in ended:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def _stop_event() -> asyncio.Event:
    """Set by SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _described(application: Application, front: HttpFront, port: int) -> str:
    lines = ["Functions:"]
    for route in front.routes:
        path = f"{application.route_prefix}/{route.function.trigger.get('route') or route.function.name}"
        lines.append(f"  {route.function.name}: [{','.join(sorted(route.methods))}] http://localhost:{port}/{path}")
    others = [function for function in application.functions if function.trigger["type"] != "httpTrigger"]
    lines += [f"  {function.name}: {function.trigger['type']}" for function in others]
    return "\n".join(lines)


def _as_in_azure(application: Application) -> None:
    """Drop the app's log records that Azure's host drops, and take the app's standard output as log records."""
    levels = Levels(application.host)
    for handler in logging.getLogger().handlers:
        handler.addFilter(HostFilter(levels))
    sys.stdout = console(levels)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Serve a function app.")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        application = load(arguments.root.resolve())
        _as_in_azure(application)
        asyncio.run(serve(application, arguments.port))
    except CannotServe as error:
        print(f"functions host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
