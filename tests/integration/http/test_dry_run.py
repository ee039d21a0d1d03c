"""`dryRun`: every check of a generation, and nothing else."""

import json
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

from image_core.settings import DEFAULT_CHAIN
from local.emulators import cosmos_connection_string
from local.gemini.script import Scripted
from tests.support.harness import Answer, Harness, data_url, sample_image
from tests.support.paths import GEMINI_RESPONSES

PRO, NANO, LITE = DEFAULT_CHAIN
CUP = data_url(sample_image(), "image/jpeg")


async def dry(product: Harness, *images: str, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    return await product.generate(*images, headers=headers, dryRun=True, **fields)


async def stored_data(product: Harness) -> tuple[int, list[str], int]:
    """Return the number of this user's records, all private blobs, and the number of model calls."""
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        container = client.get_database_client("catafract").get_container_client("generations")
        query = "SELECT c.id FROM c WHERE c.userId = @user"
        found = container.query_items(
            query, parameters=[{"name": "@user", "value": product.email}], partition_key=product.email
        )
        records = len([item async for item in found])
    return records, await product.blob_names("catafract-private"), len(product.fake_gemini.calls)


async def test_dry_run_has_model_cost_and_inputs_and_stores_nothing(product: Harness) -> None:
    before = await stored_data(product)
    answer = await dry(
        product, CUP, data_url(sample_image("rocket.webp"), "image/webp"), headers={"Idempotency-Key": "k"}
    )
    assert answer.status == 200
    body = answer.json
    assert set(body) == {"dryRun", "model", "estimatedCostUsd", "inputs", "budget", "warnings"}
    assert (body["dryRun"], body["model"], body["warnings"], body["budget"]) == (True, PRO, [], {"leftUsd": None})
    assert [(each["mimeType"], each["converted"]) for each in body["inputs"]] == [
        ("image/jpeg", False),
        ("image/webp", False),
    ]
    assert (body["inputs"][0]["width"], body["inputs"][0]["height"]) == (600, 400)
    assert await stored_data(product) == before
    # Another request may use the same key.
    assert (await product.generate(headers={"Idempotency-Key": "k"}, prompt="another one")).status == 200


async def test_estimate_covers_what_the_generation_then_costs(product: Harness) -> None:
    estimate = (await dry(product, imageSize="4K")).json["estimatedCostUsd"]
    made = await product.generate(imageSize="4K")
    assert made.json["usage"]["costUsd"] <= estimate <= made.json["usage"]["costUsd"] * 1.3


async def test_input_that_would_be_converted_is_shown_as_the_model_gets_it(product: Harness) -> None:
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,"
    gif += b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    (shown,) = (await dry(product, data_url(gif, "image/gif"))).json["inputs"]
    assert (shown["converted"], shown["mimeType"]) == (True, "image/png")


async def test_budget_is_the_amount_that_is_left(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.5", DAILY_BUDGET_USD="1000000") as limited:
        assert (await dry(limited)).json["budget"] == {"leftUsd": 0.5}
        assert (await limited.generate()).status == 200
        left = (await dry(limited)).json["budget"]["leftUsd"]
        assert left == pytest.approx(0.5 - product.fake_gemini.billed_usd, abs=1e-6)


ERRORS: list[tuple[str, dict[str, Any], dict[str, str], int, str]] = [
    ("no prompt", {"prompt": " "}, {}, 400, "no_prompt"),
    ("a size that no model makes", {"imageSize": "8K"}, {}, 400, "invalid_request"),
    ("a model that is not configured", {"model": "gpt-5"}, {}, 400, "invalid_request"),
    ("an image without data", {"images": ["data:image/png;base64,AAAA"]}, {}, 400, "invalid_image"),
    ("an address that is not fetched", {"images": ["http://127.0.0.1/x.png"]}, {}, 400, "url_not_allowed"),
    ("a malformed key", {}, {"Idempotency-Key": "a b"}, 400, "invalid_request"),
    ("a budget that is used up", {}, {}, 429, "budget_exceeded"),
    ("no API key", {}, {}, 500, "gemini_key_missing"),
]


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
async def test_error_is_that_of_the_generation(
    product: Harness, fields: dict[str, Any], headers: dict[str, str], status: int, code: str
) -> None:
    settings = {"budget_exceeded": {"DAILY_BUDGET_USD_PER_USER": "0.01"}, "gemini_key_missing": {"GEMINI_API_KEY": ""}}
    async with product.another(**settings.get(code, {})) as other:
        body = {"images": [CUP], "prompt": "a watercolor", **fields}
        real = await other.call("POST", "/api/image", body, headers)
        checked = await other.call("POST", "/api/image", {**body, "dryRun": True}, headers)
    assert (checked.status, checked.json["code"]) == (status, code)
    assert {**checked.json, "id": None} == {**real.json, "id": None}
    assert product.fake_gemini.calls == []


async def test_key_of_another_request_is_a_mismatch(product: Harness) -> None:
    key = {"Idempotency-Key": "taken"}
    assert (await product.generate(headers=key)).status == 200
    assert (await dry(product, headers=key, prompt="another one")).json["code"] == "idempotency_mismatch"
    assert (await dry(product, headers=key)).status == 200


async def test_skipped_and_retired_models_give_warnings(product: Harness) -> None:
    async with product.another(GEMINI_MODELS=f"gemini-2.5-flash-image,{PRO}") as other:
        retired = (await dry(other)).json
        skipped = (await dry(other, imageSize="4K")).json
    assert (retired["model"], [each.split(":")[0] for each in retired["warnings"]]) == (LITE, ["model_retired"])
    assert (skipped["model"], [each.split(":")[0] for each in skipped["warnings"]]) == (
        PRO,
        ["model_retired", "model_skipped"],
    )


async def test_used_up_daily_quota_is_429_with_the_time_of_its_reset(product: Harness) -> None:
    script = json.loads((GEMINI_RESPONSES / "gemini-429-per-day.json").read_bytes())
    async with product.another(GEMINI_MODELS=PRO) as other:
        product.fake_gemini.script.add(Scripted(**script))
        assert (await other.generate()).json["code"] == "rate_limited"
        calls = len(product.fake_gemini.calls)
        for answer in (await other.generate(), await dry(other)):
            assert (answer.status, answer.json["code"]) == (429, "rate_limited")
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json["resetsAt"].endswith(":00:00.000Z")
        assert len(product.fake_gemini.calls) == calls == 1
