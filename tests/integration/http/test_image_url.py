"""`imageUrl` of a 202: a client that reads only this field shows the image, and one call is paid."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from local.gemini.script import Scripted, finished
from tests.support.faulty_proxy import Rule
from tests.support.harness import Answer, Harness, harness


async def follow(product: Harness, url: str, headers: Mapping[str, str] | None = None) -> tuple[Answer, int]:
    """Follow redirects as an `<img>` does, at most 20. Return the last answer and the number of redirects."""
    for redirects in range(21):
        answer = await product.call("GET", url, headers=headers)
        if answer.status != 307:
            return answer, redirects
        assert answer.headers["Cache-Control"] == "no-store"
        url = answer.headers["Location"]
    raise AssertionError("more than 20 redirects")


@pytest.mark.parametrize("access", ["public", "private"])
async def test_image_url_of_a_202_waits_and_redirects_to_itself_until_the_image_exists(
    azurite_ports: AzuritePorts, cosmos_url: str, access: str
) -> None:
    async with harness(azurite_ports, cosmos_url, IMAGE_ACCESS=access, RESPONSE_BUDGET_SECONDS="1") as product:
        product.fake_gemini.latency = 2
        running = await product.generate()
        assert running.status == 202
        url = running.json["imageUrl"]
        assert url == f"/api/images/{running.json['id']}"
        first = await product.call("GET", url)
        assert urlsplit(first.headers["Location"]).path == url
        answer, redirects = await follow(product, url)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
        assert 1 <= redirects <= 15
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        made = (await product.call("GET", f"/api/generations/{running.json['id']}")).json
        permanent = await product.call("GET", f"/api/images/{made['imageUrl'].rsplit('/', 1)[-1]}")
        assert answer.body == permanent.body
        assert len(product.fake_gemini.calls) == 1
        same = await product.call("GET", url, headers={"If-None-Match": answer.headers["ETag"]})
        assert same.status == 304
        part = await product.call("GET", url, headers={"Range": "bytes=0-7"})
        assert (part.status, part.body) == (206, answer.body[:8])


async def test_another_instance_waits_for_the_image_and_another_user_gets_404(product: Harness) -> None:
    product.fake_gemini.latency = 1.0
    running = await product.generate(headers={"Prefer": "wait=0"})
    assert running.enqueue
    resuming = asyncio.create_task(product.app.resume(running.enqueue[0].encode()))
    async with product.another(RESPONSE_BUDGET_SECONDS="1") as other, product.another("eve@example.com") as eve:
        assert (await eve.call("GET", running.json["imageUrl"])).status == 404
        assert (await other.call("GET", running.json["imageUrl"], signed_in=False)).status == 401
        answer, _ = await follow(other, running.json["imageUrl"])
        assert answer.status == 200
        assert (await eve.call("GET", running.json["imageUrl"])).status == 404
    await resuming
    assert len(product.fake_gemini.calls) == 1


async def test_image_of_a_queued_generation_is_busy_after_fifteen_redirects(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, RESPONSE_BUDGET_SECONDS="0.01") as product:
        queued = await product.generate(headers={"Prefer": "respond-async"})
        answer, redirects = await follow(product, queued.json["imageUrl"])
        assert (answer.status, answer.json["code"], redirects) == (503, "busy", 15)
        assert "Retry-After" in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        await product.app.resume(queued.enqueue[0].encode())
        assert (await follow(product, queued.json["imageUrl"]))[0].status == 200


async def test_image_url_waits_although_the_response_budget_is_zero(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, RESPONSE_BUDGET_SECONDS="0") as product:
        product.fake_gemini.latency = 0.5
        running = await product.generate()
        assert running.status == 202
        answer, redirects = await follow(product, running.json["imageUrl"])
        assert (answer.status, redirects) == (200, 0)


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (finished("SAFETY", {"text": "No."}), 500, "refused"),
        (
            Scripted(403, {"error": {"code": 403, "message": "x", "status": "PERMISSION_DENIED"}}),
            500,
            "model_auth_failed",
        ),
    ],
)
async def test_image_of_a_failed_generation_is_its_error(
    product: Harness, script: Scripted, status: int, code: str
) -> None:
    script.delay, script.times = 0.6, 9
    product.fake_gemini.script.add(script)
    running = await product.generate(headers={"Prefer": "wait=0"})
    resuming = asyncio.create_task(product.app.resume(running.enqueue[0].encode()))
    answer, _ = await follow(product, running.json["imageUrl"])
    await resuming
    assert (answer.status, answer.json["code"], answer.json["id"]) == (status, code, running.json["id"])
    assert answer.headers["Cache-Control"] == "no-store"


async def test_image_of_a_generation_that_is_deleted_meanwhile_is_404(product: Harness) -> None:
    running = await product.generate(headers={"Prefer": "wait=0"})
    waiting = asyncio.create_task(follow(product, running.json["imageUrl"]))
    await product.call("DELETE", f"/api/generations/{running.json['id']}")
    answer, _ = await waiting
    assert (answer.status, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize("count", ["-1", "16", "x", "1e1", "٣", "0001"])
async def test_invalid_number_of_redirects_is_400(product: Harness, count: str) -> None:
    made = await product.generate()
    answer = await product.call("GET", f"/api/images/{made.json['id']}?redirects={count}")
    assert (answer.status, answer.json["field"]) == (400, "redirects")


async def test_image_of_an_unknown_generation_is_404(product: Harness) -> None:
    assert (await product.call("GET", "/api/images/gen-1704067230000-0123456789abcdef")).status == 404


async def test_image_without_free_memory_is_redirected_and_then_busy(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, RESPONSE_BUDGET_SECONDS="1") as product:
        made = await product.generate()
        await product.drained()
        memory_budget = product.app.components.memory_budget
        with memory_budget.claim(User("another@example.com").id) as everything:
            everything.take(memory_budget.limit)
            again = await product.call("GET", f"/api/images/{made.json['id']}?redirects=3")
            last = await product.call("GET", f"/api/images/{made.json['id']}?redirects=15")
        assert (again.status, again.headers["Location"]) == (307, f"/api/images/{made.json['id']}?redirects=4")
        assert (last.status, last.json["code"]) == (503, "busy")
        answer, _ = await follow(product, again.headers["Location"])
        assert answer.status == 200


async def test_replay_whose_image_cannot_be_read_in_time_is_202_with_the_image_url(product: Harness) -> None:
    key = {"Idempotency-Key": "hanging"}
    made = await product.generate(headers=key)
    assert made.status == 200
    released = asyncio.Event()
    product.blobs.rule(Rule(reads_image, times=9, before=released.wait))
    async with product.another(RESPONSE_BUDGET_SECONDS="1") as other:
        replayed = await other.generate(headers=key)
        assert (replayed.status, replayed.json["id"]) == (202, made.json["id"])
        hanging = await other.call("GET", replayed.json["imageUrl"])
        assert hanging.status == 307
    released.set()
    answer, _ = await follow(product, hanging.headers["Location"])
    assert answer.body == made.image
    assert len(product.fake_gemini.calls) == 1


def reads_image(method: str, path: str) -> bool:
    return method == "GET" and "/catafract/generated-" in path
