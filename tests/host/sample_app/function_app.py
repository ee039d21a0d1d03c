"""An app with one of everything that the host knows, to try the host on."""

import logging
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
seen: list[tuple[str, int]] = []
Many = typing.List[str]  # noqa: UP006 - as the worker wants it


@app.route(route="items/{id:int}", methods=["GET"])
async def by_number(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"number {req.route_params['id']}")


@app.route(route="items/{name}", methods=["GET", "DELETE"])
def by_name(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(f"{req.method} name {req.route_params['name']} {context.function_name}", status_code=201)


@app.route(route="items/special", methods=["GET"])
async def special(req: func.HttpRequest) -> str:
    return "special"


@app.route(route="{*rest}", methods=["GET", "POST"])
async def everything(req: func.HttpRequest) -> func.HttpResponse:
    body = req.get_body()
    text = f"{req.method} {req.route_params.get('rest', '')} {dict(req.params)} {len(body)} {req.headers.get('x-a')}"
    return func.HttpResponse(text, headers={"X-B": "b"}, mimetype="text/plain")


@app.route(route="fails")
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("on purpose")


@app.route(route="enqueue", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="work", connection="AzureWebJobsStorage")
async def enqueue(req: func.HttpRequest, out: func.Out[Many]) -> func.HttpResponse:
    out.set(req.get_body().decode().split(","))
    return func.HttpResponse("sent")


@app.queue_trigger(arg_name="message", queue_name="work", connection="AzureWebJobsStorage")
async def work(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    seen.append((text, message.dequeue_count or 0))
    if text.startswith("bad"):
        raise ValueError("on purpose")


@app.queue_trigger(arg_name="message", queue_name="work-poison", connection="AzureWebJobsStorage")
def poison(message: func.QueueMessage) -> None:
    seen.append((f"poison {message.get_body().decode()}", message.dequeue_count or 0))


@app.timer_trigger(arg_name="timer", schedule="%TICK%")
@app.queue_output(arg_name="out", queue_name="ticks", connection="AzureWebJobsStorage")
async def tick(timer: func.TimerRequest, out: func.Out[str]) -> None:
    seen.append(("tick", 0))
    out.set("tick")


@app.cosmos_db_trigger(
    arg_name="things",
    connection="COSMOS",
    database_name="sample",
    container_name="things",
    lease_container_name="leases",
    feed_poll_delay=100,
)
@app.cosmos_db_output(arg_name="out", connection="COSMOS", database_name="sample", container_name="copies")
@app.retry(strategy="fixed_delay", max_retry_count="-1", delay_interval="00:00:01")
async def copy(things: func.DocumentList, out: func.Out[func.DocumentList]) -> None:
    copies = func.DocumentList()
    for thing in things:
        seen.append((f"thing {thing['id']}", 0))
        if sum(text == f"thing {thing['id']}" for text, _ in seen) <= thing.get("fails", 0):
            raise ValueError("on purpose")
        copies.append(func.Document.from_dict({"id": f"copy-{thing['id']}", "of": thing["id"]}))
    out.set(copies)


@app.route(route="seen", methods=["GET"])
async def what_was_seen(req: func.HttpRequest) -> func.HttpResponse:
    logging.getLogger("sample").info("asked")
    return func.HttpResponse("\n".join(f"{text}|{count}" for text, count in seen))
