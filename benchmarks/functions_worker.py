"""The process that `worker` measures: requests in Azure's real worker code.

`python -m benchmarks.functions_worker` on Python 3.13 or newer. Standard input is one JSON object: the app's
environment, the size of a body, the number of requests and their interval, a cookie for each, the fake Gemini's
address and latency. Standard output is one: resident bytes `before`, while the accepted requests are `waiting`, and
at the `highest`, the number of requests `held`, and the `statuses`.
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

from benchmarks import images
from benchmarks.process import Peak, resident_bytes
from local import config
from tests.worker.messages import protos

MESSAGES = protos()
SETTLED_SECONDS = 3.0
"""Time without a change of memory after which that of waiting requests is read."""
MAX_IMAGE_CHARACTERS = 12_000_000
"""The base64 of one image; a larger request has several."""


def _wrapped(kind: str, message: Any) -> SimpleNamespace:
    """Wrap a message as the worker expects it."""
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
    """Return the request as the worker gets it: parsed from bytes, which are then released."""
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
    """Return a request of about `size` bytes, with different uncompressed PNGs."""
    count = -(-size // MAX_IMAGE_CHARACTERS)
    side = int((size / count * 3 / 4 / 3) ** 0.5)
    urls = []
    for number in range(count):
        out = io.BytesIO()
        Image.new("RGB", (side, side), (number, 100, 200)).save(out, "PNG", compress_level=0)
        urls.append(images.data_url(out.getvalue()))
    return json.dumps({"images": urls, "prompt": images.PROMPT}).encode()


async def _set_latency(url: str, seconds: float) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{url}/latency", data=str(seconds)) as answer:
        answer.raise_for_status()


async def _one(function: str, cookie: str, size: int) -> tuple[int, int]:
    """Send a request; return the status and the length of the answer, serialized as the worker does."""
    message = _received(function, cookie, size)
    answer = await worker.invocation_request(_wrapped("invocation_request", message))
    if answer.result.status != MESSAGES.StatusResult.Success:
        raise RuntimeError(answer.result.exception.message)
    status = int(answer.return_value.http.status_code)
    return status, len(answer.SerializeToString())


async def main(given: dict[str, Any]) -> dict[str, Any]:
    """Run the requests; return what is measured."""
    function = await _function()
    size, cookies = given["bytes"], given["cookies"]
    await _one(function, cookies[0], 100_000)  # imports the SDKs and opens connections
    await _set_latency(given["gemini"], given["latency"])
    before = resident_bytes(os.getpid())
    async with Peak(os.getpid()) as peak:
        tasks = []
        for number in range(given["count"]):
            # The request is in memory from the task's first step on.
            tasks.append(asyncio.create_task(_one(function, cookies[number % len(cookies)], size)))
            await asyncio.sleep(given["interval"])
        waiting, settled = 0, 0.0
        while settled < SETTLED_SECONDS and not all(task.done() for task in tasks):
            await asyncio.sleep(0.1)
            now, settled = resident_bytes(os.getpid()), settled + 0.1
            if abs(now - waiting) > size / 10:
                waiting, settled = now, 0.0
        held = sum(not task.done() for task in tasks)
        answers = await asyncio.gather(*tasks)
    statuses = Counter(HTTPStatus(status).value for status, _ in answers)
    return {"before": before, "waiting": waiting, "held": held, "highest": peak.highest, "statuses": dict(statuses)}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    os.environ.update(given["environment"])
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the app and the worker also write to standard output
    json.dump(asyncio.run(main(given)), output)
    output.close()
