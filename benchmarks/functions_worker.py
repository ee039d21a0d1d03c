"""Requests in Azure's real worker code, in a process of their own, and the memory that they hold while the model works.

`python -m benchmarks.functions_worker` on Python 3.13 or newer. Standard input has one JSON object: the environment of the app,
the bytes of each body, the requests, and one cookie for each. Standard output gets one: the process's memory before, while
the accepted requests wait, at its highest, and the statuses.
"""

import asyncio
import io
import json
import os
import sys
import uuid
from collections import Counter
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import azure_functions_runtime as worker
from PIL import Image

from benchmarks import pictures
from benchmarks.process import Peak, resident_bytes
from local import config
from tests.worker.messages import protos

MESSAGES = protos()
SETTLED_SECONDS = 3.0
"""From the last change of what is held until the memory of waiting requests is read."""
LARGEST_IMAGE = 12_000_000
"""Of the base64 of one image: a longer request has several."""


def _wrapped(kind: str, message: Any) -> SimpleNamespace:
    """A message in the envelope that the worker reads."""
    return SimpleNamespace(
        request=SimpleNamespace(**{kind: message}), properties={"host": "127.0.0.1", "protos": MESSAGES}
    )


async def _function() -> str:
    """Load the app and return the id of the function that answers `POST /api/image`."""
    started = await worker.worker_init_request(
        _wrapped("worker_init_request", MESSAGES.WorkerInitRequest(function_app_directory=str(config.ROOT)))
    )
    if started.result.status != MESSAGES.StatusResult.Success:
        raise RuntimeError(started.result.exception.message)
    listed = await worker.functions_metadata_request(_wrapped("functions_metadata_request", None))
    for function in listed.function_metadata_results:
        await worker.function_load_request(
            _wrapped("function_load_request", MESSAGES.FunctionLoadRequest(function_id=function.function_id))
        )
    http = [
        function
        for function in listed.function_metadata_results
        if any(json.loads(binding)["type"] == "httpTrigger" for binding in function.raw_bindings)
    ]
    # The host tries the functions in the order of their names.
    return str(min(http, key=lambda function: str(function.name)).function_id)


def _received(function: str, cookie: str, size: int) -> Any:
    """The request as the worker gets it: parsed from the bytes that came over the wire, which are then gone."""
    http = MESSAGES.RpcHttp(
        method="POST",
        url="http://127.0.0.1/api/image",
        headers={"content-type": "application/json", "cookie": cookie},
        params={"path": "image"},
    )
    http.body.bytes = _body(size)
    message = MESSAGES.InvocationRequest(
        invocation_id=str(uuid.uuid4()),
        function_id=function,
        input_data=[MESSAGES.ParameterBinding(name="req", data=MESSAGES.TypedData(http=http))],
    )
    return MESSAGES.InvocationRequest.FromString(message.SerializeToString())


def _body(size: int) -> bytes:
    """A request of about `size` bytes: PNGs without compression, each another one."""
    count = -(-size // LARGEST_IMAGE)
    side = int((size / count * 3 / 4 / 3) ** 0.5)
    images = []
    for number in range(count):
        out = io.BytesIO()
        Image.new("RGB", (side, side), (number, 100, 200)).save(out, "PNG", compress_level=0)
        images.append(pictures.data_url(out.getvalue()))
    return json.dumps({"images": images, "prompt": pictures.PROMPT}).encode()


async def _set_latency(url: str, seconds: float) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/latency", data=str(seconds)) as answer:
        answer.raise_for_status()


async def _one(function: str, cookie: str, size: int) -> tuple[int, int]:
    """Status and length of the answer, which is serialized as the worker does it."""
    message = _received(function, cookie, size)
    answer = await worker.invocation_request(_wrapped("invocation_request", message))
    if answer.result.status != MESSAGES.StatusResult.Success:
        raise RuntimeError(answer.result.exception.message)
    status = int(answer.return_value.http.status_code)
    return status, len(answer.SerializeToString())


async def main(told: dict[str, Any]) -> dict[str, Any]:
    function = await _function()
    size, cookies = told["bytes"], told["cookies"]
    await _one(function, cookies[0], 100_000)  # the SDKs and connections are there
    await _set_latency(told["model"], told["latency"])
    before = resident_bytes(os.getpid())
    async with Peak(os.getpid()) as peak:
        tasks = []
        for number in range(told["count"]):
            # The task begins at its next turn: a request is in memory from then on.
            tasks.append(asyncio.create_task(_one(function, cookies[number % len(cookies)], size)))
            await asyncio.sleep(told["apart"])
        waiting, settled = 0, 0.0
        while settled < SETTLED_SECONDS and not all(task.done() for task in tasks):
            await asyncio.sleep(0.1)
            now, settled = resident_bytes(os.getpid()), settled + 0.1
            if abs(now - waiting) > size / 10:
                waiting, settled = now, 0.0
        held = sum(not task.done() for task in tasks)
        answers = await asyncio.gather(*tasks)
    statuses = Counter(HTTPStatus(status).value for status, _ in answers)
    return {"before": before, "waiting": waiting, "held": held, "most": peak.most, "statuses": dict(statuses)}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    os.environ.update(given["environment"])
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the app and the worker write lines of their own to standard output
    json.dump(asyncio.run(main(given)), output)
    output.close()
