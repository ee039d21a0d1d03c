"""An app with one function of each kind that the host supports."""

import asyncio
import logging
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
recorded: list[tuple[str, int]] = []
background: set[asyncio.Task[None]] = set()
release = asyncio.Event()
Many = typing.List[str]  # noqa: UP006 - the worker does not support list[str]


# The host tries routes in the order of the functions' names, and the names here are chosen for that.
@app.route(route="items/{id:int}", methods=["GET"])
async def a_number(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"number {req.route_params['id']}")


@app.route(route="items/{name}", methods=["GET", "DELETE"])
def by_name(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(f"{req.method} name {req.route_params['name']} {context.function_name}", status_code=201)


@app.route(route="items/special", methods=["GET"])
async def special(req: func.HttpRequest) -> str:
    return "never called: by_name comes first"


@app.route(route="first", methods=["GET"])
async def a_text(req: func.HttpRequest) -> str:
    return "text"


@app.route(route="{*rest}", methods=["GET", "POST", "HEAD", "OPTIONS"])
async def z_everything(req: func.HttpRequest) -> func.HttpResponse:
    body = req.get_body()
    text = f"{req.method} {req.route_params.get('rest', '')} {dict(req.params)} {len(body)} {req.headers.get('x-a')}"
    headers = {"X-B": "b", "X-Url": req.url, "X-Body": body[:20].hex()}
    return func.HttpResponse(text, headers=headers, mimetype="text/plain")


@app.route(route="status/{code:int}", methods=["GET", "HEAD"])
async def status(req: func.HttpRequest) -> func.HttpResponse:
    headers = {"Content-Type": "image/png"} if req.params.get("typed") else {}
    return func.HttpResponse(b"", status_code=int(req.route_params["code"]), headers=headers)


@app.route(route="logs", methods=["POST"])
async def logs(req: func.HttpRequest) -> func.HttpResponse:
    """Log in every situation in which a log record is kept or dropped."""
    log = logging.getLogger("sample")
    mark = req.get_body().decode()

    async def later(before: asyncio.Event) -> None:
        log.warning("%s in a task of the invocation", mark)
        before.set()
        await release.wait()
        log.warning("%s in a task that outlived it", mark)
        print(f"{mark} printed by a task that outlived it")  # noqa: T201 - what is printed is forwarded
        recorded.append((f"{mark} logged", 0))

    started = asyncio.Event()
    background.add(asyncio.create_task(later(started)))
    await started.wait()
    log.warning("%s in the invocation", mark)
    log.info("%s a detail", mark)
    asyncio.get_running_loop().call_soon(log.warning, "%s in a callback", mark)
    await asyncio.to_thread(log.warning, "%s in another thread", mark)
    return func.HttpResponse("logged")


@app.route(route="logs", methods=["DELETE"])
async def release_logs(req: func.HttpRequest) -> func.HttpResponse:
    """Release the task that outlived the invocation of `logs`."""
    release.set()
    return func.HttpResponse("released")


@app.route(route="logs", methods=["PUT"])
def logs_in_a_thread(req: func.HttpRequest) -> func.HttpResponse:
    logging.getLogger("sample").warning("%s in a function without async", req.get_body().decode())
    return func.HttpResponse("logged")


@app.route(route="fails")
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("on purpose")


@app.route(route="enqueue", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="work", connection="AzureWebJobsStorage")
async def enqueue(req: func.HttpRequest, out: func.Out[Many]) -> func.HttpResponse:
    out.set(req.get_body().decode().split("|"))
    return func.HttpResponse("sent")


@app.queue_trigger(arg_name="message", queue_name="work", connection="AzureWebJobsStorage")
async def work(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    recorded.append((text, message.dequeue_count or 0))
    if text.startswith("{"):
        recorded.append((f"id {message.id}", message.dequeue_count or 0))
    if text.startswith("bad"):
        raise ValueError("on purpose")


@app.queue_trigger(arg_name="message", queue_name="work-poison", connection="AzureWebJobsStorage")
def poison(message: func.QueueMessage) -> None:
    recorded.append((f"poison {message.get_body().decode()}", message.dequeue_count or 0))


@app.timer_trigger(arg_name="timer", schedule="%TICK%")
@app.queue_output(arg_name="out", queue_name="ticks", connection="AzureWebJobsStorage")
async def tick(timer: func.TimerRequest, out: func.Out[str]) -> None:
    recorded.append(("tick", 0))
    out.set("tick")


@app.cosmos_db_trigger(
    arg_name="things",
    connection="COSMOS",
    database_name="sample",
    container_name="things",
    lease_container_name="leases",
    feed_poll_delay=100,
)
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:01")
async def changes(things: func.DocumentList) -> None:
    for thing in things:
        recorded.append((f"thing {thing['id']}", 0))
        if sum(text == f"thing {thing['id']}" for text, _ in recorded) <= thing.get("fails", 0):
            raise ValueError("on purpose")
        recorded.append((f"done {thing['id']}", 0))


@app.route(route="recorded", methods=["GET"])
async def recorded_lines(req: func.HttpRequest) -> func.HttpResponse:
    logging.getLogger("sample").info("lines requested")
    return func.HttpResponse("\n".join(f"{text}|{count}" for text, count in recorded))
