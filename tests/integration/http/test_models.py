"""`GET /api/models`: the models of the chain and the limits of a request."""

import json

from image_core.models.catalog import ASPECT_RATIOS, CLASSIC, IMAGE_SIZES, MODELS
from image_core.settings import DEFAULT_CHAIN, Settings
from local.gemini.script import Scripted
from tests.support.harness import Harness
from tests.support.paths import GEMINI_RESPONSES

PRO, NANO, LITE = DEFAULT_CHAIN


async def test_models_are_listed_in_their_order_with_capabilities_and_prices(product: Harness) -> None:
    answer = await product.call("GET", "/api/models")
    assert answer.status == 200
    models = answer.json["models"]
    assert [(each["id"], each["default"], each["available"]) for each in models] == [
        (PRO, True, True),
        (NANO, False, True),
        (LITE, False, True),
    ]
    for each in models:
        known = MODELS[each["id"]]
        assert each["aspectRatios"] == list(known.aspect_ratios)
        assert each["imageSizes"] == list(known.image_sizes) == list(each["prices"])
        assert each["maxInputImages"] == 14
        assert each["retiresOn"] is None
        assert each["expectedSeconds"] >= 1
    assert models[0]["prices"] == {"1K": 0.1344, "2K": 0.1344, "4K": 0.24}
    assert models[0]["aspectRatios"] == list(CLASSIC)
    assert answer.json["limits"] == {
        "maxImages": 14,
        "maxImageBytes": 20_000_000,
        "maxRequestBytes": 30_000_000,
        "maxImagePixels": Settings.read({}).max_image_pixels,
        "maxPromptCharacters": 32_000,
    }


async def test_models_require_a_session(product: Harness) -> None:
    assert (await product.call("GET", "/api/models", signed_in=False)).status == 401


async def test_list_with_an_unknown_model_a_retired_model_and_a_smaller_limit(product: Harness) -> None:
    names = "gemini-4-image,gemini-2.5-flash-image,gemini-3.1-flash-lite-image"
    async with product.another(GEMINI_MODELS=names, MAX_IMAGES="2") as other:
        unknown, lite = (await other.call("GET", "/api/models")).json["models"]
    assert lite["id"] == LITE
    assert (unknown["id"], unknown["prices"], unknown["retiresOn"]) == ("gemini-4-image", {}, None)
    assert (unknown["aspectRatios"], unknown["imageSizes"]) == (list(ASPECT_RATIOS), list(IMAGE_SIZES))
    assert {unknown["maxInputImages"], lite["maxInputImages"]} == {2}


async def test_model_whose_daily_quota_is_used_up_is_not_available(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(**json.loads((GEMINI_RESPONSES / "gemini-429-per-day.json").read_bytes())))
    assert (await product.generate()).json["model"] == NANO
    models = (await product.call("GET", "/api/models")).json["models"]
    assert [(each["id"], each["available"]) for each in models] == [(PRO, False), (NANO, True), (LITE, True)]
    health = await product.call("GET", "/api/health?deep=1", signed_in=False)
    assert (health.status, health.json["status"]) == (200, "degraded")
    assert health.json["dependencies"]["model"]["status"] == "degraded"
    assert health.json["dependencies"]["model"]["models"][PRO].startswith("quota used up until ")
    assert health.json["dependencies"]["model"]["models"][NANO] == "ok"


async def test_retired_name_is_shown_by_deep_health(product: Harness) -> None:
    async with product.another(GEMINI_MODELS="gemini-2.5-flash-image,gemini-3-pro-image") as other:
        model = (await other.call("GET", "/api/health?deep=1", signed_in=False)).json["dependencies"]["model"]
    assert model["models"] == {LITE: "ok", PRO: "ok"}
    assert model["retiring"] == {"gemini-2.5-flash-image": "2026-10-02"}
