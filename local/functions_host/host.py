"""Start and stop the host: its HTTP port, and its listeners for timers, queue messages and changes."""

import asyncio
import contextlib
import logging
import os
import signal
import sys

from aiohttp import web

from local.functions_host.app import CannotServe, LoadedApp
from local.functions_host.change_feed import Databases
from local.functions_host.http import HttpFunctions, http_runner
from local.functions_host.invocation import Invoker
from local.functions_host.logs import HostFilter, Levels, console
from local.functions_host.queues import Queues, QueueSettings
from local.functions_host.timers import run_timer
from local.processes import watch_parent

CLOSE_SECONDS = 1.0
"""How long the app may take to close its connections."""


async def serve(app: LoadedApp, port: int) -> None:
    """Serve until SIGINT or the end of the parent process. Raises CannotServe."""
    queues = Queues(QueueSettings.read(app.extension("queues")))
    databases = Databases()
    invoker = Invoker(queues)
    functions = HttpFunctions(app, invoker)
    runner = http_runner(functions.handle)
    await runner.setup()
    try:
        await web.TCPSite(runner, os.environ.get("FUNCTIONS_HOST_ADDRESS", "127.0.0.1"), port).start()
    except OSError as error:
        raise CannotServe(f"port {port} cannot be used ({error.strerror}): set PORT to another") from error
    listeners = []
    for function in app.functions:
        if function.trigger["type"] == "timerTrigger":
            listeners.append(asyncio.create_task(run_timer(function, invoker)))
        elif function.trigger["type"] == "queueTrigger":
            listeners.append(asyncio.create_task(queues.listen(function, invoker)))
        elif function.trigger["type"] == "cosmosDBTrigger":
            listeners.append(asyncio.create_task(databases.listen(function, invoker)))
    print(_description(app, functions, runner.addresses[0][1]), file=sys.__stdout__, flush=True)
    shutdown = _shutdown_event()
    watch_parent(shutdown.set)
    waiting = asyncio.create_task(shutdown.wait())
    await asyncio.wait({waiting, *listeners}, return_when=asyncio.FIRST_COMPLETED)
    for listener in listeners:
        listener.cancel()
    results = await asyncio.gather(*listeners, return_exceptions=True)
    await runner.cleanup()
    invoker.close()
    await queues.close()
    await databases.close()
    if app.product is not None:
        with contextlib.suppress(TimeoutError):  # what still runs is left to the recovery, as in Azure
            await asyncio.wait_for(app.product.close(), CLOSE_SECONDS)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def apply_log_rules(app: LoadedApp) -> None:
    """Drop the log records that Azure's host drops, and log what the app writes to standard output."""
    levels = Levels(app.host)
    for handler in logging.getLogger().handlers:
        handler.addFilter(HostFilter(levels))
    sys.stdout = console(levels)


def _shutdown_event() -> asyncio.Event:
    """Return an event that SIGINT sets."""
    shutdown = asyncio.Event()
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(shutdown.set))
    return shutdown


def _description(app: LoadedApp, functions: HttpFunctions, port: int) -> str:
    lines = ["Functions:"]
    for route in functions.routes:
        path = f"{app.route_prefix}/{route.function.trigger.get('route') or route.function.name}"
        lines.append(f"  {route.function.name}: [{','.join(sorted(route.methods))}] http://localhost:{port}/{path}")
    others = [function for function in app.functions if function.trigger["type"] != "httpTrigger"]
    lines += [f"  {function.name}: {function.trigger['type']}" for function in others]
    return "\n".join(lines)
