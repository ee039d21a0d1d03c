"""Without free memory every route answers 503 `busy`; the requests of other users are answered as usual."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from tests.support.harness import Answer, Harness, data_url, harness, sample_image

LIMIT = 60_000_000
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    async with harness(azurite_ports, cosmos_url, MAX_INFLIGHT_BYTES=str(LIMIT), RESPONSE_BUDGET_SECONDS="7") as made:
        yield made


def is_busy(answer: Answer) -> bool:
    return (answer.status, answer.json["code"], answer.json["retryable"], "Retry-After" in answer.headers) == (
        *(503, "busy"),
        *(True, True),
    )


def upload() -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + sample_image("cat.png") + b"\r\n--x--"


async def test_every_route_without_free_memory_waits_and_is_then_busy(product: Harness) -> None:
    made = (await product.generate(headers={"Idempotency-Key": "k"})).json
    name = made["imageUrl"].rsplit("/", 1)[-1]
    eve = User("eve@example.com")
    with product.app.memory_budget.claim(eve.id) as claim:
        claim.take(LIMIT)
        answers = await asyncio.gather(
            product.generate(),
            product.generate(headers={"Idempotency-Key": "k"}),
            product.call("POST", "/api/upload", upload(), FORM),
            product.call("GET", f"/api/images/{name}"),
            product.call("GET", "/api/generations"),
            product.call("GET", f"/api/generations/{made['id']}"),
        )
        assert [is_busy(answer) for answer in answers] == [True] * 6
        assert (await product.call("GET", "/api/health", signed_in=False)).status == 200
    assert product.app.memory_budget.held == 0
    replayed = await product.generate(headers={"Idempotency-Key": "k"})
    assert (replayed.status, replayed.json["id"]) == (200, made["id"])
    assert len(product.fake_gemini.calls) == 1


async def test_user_who_has_used_their_share_of_body_memory_is_busy_and_others_are_not(product: Harness) -> None:
    large = data_url(sample_image("cat.png")) + "=" * 5_000_000
    with product.app.memory_budget.body(7_000_000) as waiting:
        waiting.assign(User(product.email).id)
        assert is_busy(await product.generate(large))
        bob = replace(product, email="bob@example.com")  # another user of the same process
        assert (await bob.generate(large)).status == 200
    assert product.app.memory_budget.held == 0
