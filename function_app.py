"""All that Azure Functions sees: triggers, routes, bindings. What they do is in `image_core`."""

import logging
import os
import typing
from urllib.parse import urlsplit

import azure.functions as func

from image_core.api.http import Request
from image_core.wiring import App

STORAGE = "AzureWebJobsStorage"
COSMOS = "COSMOS"
QUEUE = "generations"
DATABASE = os.environ.get("AZURE_COSMOS_DATABASE") or "catafract"
RECORDS = os.environ.get("AZURE_COSMOS_CONTAINER") or "generations"
USAGE = os.environ.get("AZURE_COSMOS_USAGE_CONTAINER") or "usage"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
"""All of them come to our own table of routes, so that a wrong one is a 405 of the contract."""

# The worker reads annotations and does not load a function whose output is a `list[str]`.
Messages = typing.List[str]  # noqa: UP006 - see above

# Function keys do not work behind Static Web Apps: the session is checked inside, always.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
product = App(os.environ)


async def _answer(req: func.HttpRequest, queued: func.Out[str] | None = None) -> func.HttpResponse:
    request = Request(
        method=req.method,
        path=urlsplit(req.url).path.partition("/api/")[2],
        query=dict(req.params),
        headers={name.lower(): value for name, value in req.headers.items()},
        body=req.get_body(),
    )
    response = await product.handle(request)
    if queued is not None and response.enqueue:
        queued.set(response.enqueue[0])
    return func.HttpResponse(response.body, status_code=response.status, headers=dict(response.headers))


@app.function_name("image")
@app.route(route="image", methods=METHODS)
@app.queue_output(arg_name="queued", queue_name=QUEUE, connection=STORAGE)
async def image(req: func.HttpRequest, queued: func.Out[str]) -> func.HttpResponse:
    """`/api/image`: by itself because what is not to be waited for goes into the queue."""
    return await _answer(req, queued)


@app.function_name("api")
@app.route(route="{*path}", methods=METHODS)
async def api(req: func.HttpRequest) -> func.HttpResponse:
    """Every other route."""
    return await _answer(req)


@app.function_name("recovery")
@app.timer_trigger(arg_name="timer", schedule="%RECOVERY_INTERVAL%", run_on_startup=False, use_monitor=False)
@app.queue_output(arg_name="queued", queue_name=QUEUE, connection=STORAGE)
async def recovery(timer: func.TimerRequest, queued: func.Out[Messages]) -> None:  # noqa: ARG001 - the binding's name
    """What no process works on any more goes into the queue."""
    if messages := await product.find_unfinished():
        queued.set(messages)


@app.function_name("resume")
@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection=STORAGE)
async def resume(message: func.QueueMessage) -> None:
    """One generation of the queue, brought to its end."""
    await product.resume(message.get_body())


@app.function_name("ledger")
@app.cosmos_db_trigger(
    arg_name="changed",
    connection=COSMOS,
    database_name=DATABASE,
    container_name=RECORDS,
    lease_container_name="leases",
    start_from_beginning=True,  # type: ignore[arg-type] # the library has the type of another option there
    feed_poll_delay=1000,
    max_items_per_invocation=100,
)
@app.cosmos_db_output(arg_name="written", connection=COSMOS, database_name=DATABASE, container_name=USAGE)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:10")
async def ledger(changed: func.DocumentList, written: func.Out[func.DocumentList]) -> None:
    """What was billed, into the ledger. Without the retry a batch that failed once would be passed over."""
    documents = await product.ledger([document.to_dict() for document in changed])
    if documents:
        written.set(func.DocumentList([func.Document.from_dict(document) for document in documents]))


@app.function_name("poison")
@app.queue_trigger(arg_name="message", queue_name=f"{QUEUE}-poison", connection=STORAGE)
def poison(message: func.QueueMessage) -> None:
    """A message that failed five times. The timer finds its generation again; a person should see why."""
    logging.getLogger("image_core.recovery").error("poison message %s", message.id)
