"""The function app: triggers, routes and bindings. `image_core` does the work."""

import os
import typing
from urllib.parse import urlsplit

import azure.functions as func

from image_core.api.http import Request
from image_core.app import Application

STORAGE = "AzureWebJobsStorage"
COSMOS = "COSMOS"
QUEUE = "generations"
# Read as `image_core.settings` does, which is not imported here: that would slow a cold start down.
DATABASE = os.environ.get("AZURE_COSMOS_DATABASE", "").strip() or "catafract"
RECORDS = os.environ.get("AZURE_COSMOS_CONTAINER", "").strip() or "generations"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
"""Every method goes to our own router, which answers a wrong one with the contract's 405."""
PREFIX = "/api/"

# The worker reads annotations, and fails to load a function whose output is a `list[str]`.
Messages = typing.List[str]  # noqa: UP006 - see above

# Function keys do not work behind Static Web Apps; `image_core` verifies the session of every request.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
product = Application(os.environ)
product.prepare_worker()


def _below_prefix(url: str) -> str:
    """Return the path of `url` below the route prefix, percent-encoded. The host matches the prefix in any case."""
    path = urlsplit(url).path
    return path[len(PREFIX) :] if path.lower().startswith(PREFIX) else ""


# The host tries routes in the order of the functions' names, without precedence. A second HTTP function would never be
# called, or would take requests from this one.
@app.function_name("api")
@app.route(route="{*path}", methods=METHODS)
@app.queue_output(arg_name="queued", queue_name=QUEUE, connection=STORAGE)
async def api(req: func.HttpRequest, queued: func.Out[str]) -> func.HttpResponse:
    """Answer every route; queue a generation that the caller does not wait for."""
    request = Request(
        method=req.method,
        path=_below_prefix(req.url),
        query=dict(req.params),
        headers={name.lower(): value for name, value in req.headers.items()},
        body=req.get_body(),
    )
    response = await product.handle(request)
    if response.enqueue:
        (message,) = response.enqueue  # the binding takes one message: a second one must fail instead of being lost
        queued.set(message)
    return func.HttpResponse(response.body, status_code=response.status, headers=dict(response.headers))


@app.function_name("recovery")
@app.timer_trigger(arg_name="timer", schedule="%RECOVERY_INTERVAL%", run_on_startup=False, use_monitor=False)
@app.queue_output(arg_name="queued", queue_name=QUEUE, connection=STORAGE)
async def recovery(timer: func.TimerRequest, queued: func.Out[Messages]) -> None:  # noqa: ARG001 - the trigger needs the parameter
    """Queue the generations that no process runs."""
    if messages := await product.find_unfinished():
        queued.set(messages)


@app.function_name("resume")
@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection=STORAGE)
async def resume(message: func.QueueMessage) -> None:
    """Run one queued generation to its end."""
    await product.resume(message.get_body())


@app.function_name("ledger")
@app.cosmos_db_trigger(
    arg_name="changed",
    connection=COSMOS,
    database_name=DATABASE,
    container_name=RECORDS,
    lease_container_name="leases",
    start_from_beginning=True,  # type: ignore[arg-type] # the library declares another option's type
    feed_poll_delay=1000,
    max_items_per_invocation=100,
)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:10")
async def ledger(changed: func.DocumentList) -> None:
    """Enter billed calls into the ledger and log generations that have ended.

    Without the retry policy, the host would skip a batch that failed once.
    """
    await product.process_changes([document.to_dict() for document in changed])


@app.function_name("poison")
@app.queue_trigger(arg_name="message", queue_name=f"{QUEUE}-poison", connection=STORAGE)
async def poison(message: func.QueueMessage) -> None:
    """Log a message that failed five times, for operators. The recovery finds its generation again."""
    await product.poisoned(message.id or "")
