"""The worst cases by which a budget can be exceeded, as in the table in docs/money.md."""

import asyncio
from typing import Any

from image_core.models.catalog import INPUT_IMAGE_TOKENS
from image_core.models.generated import Options
from image_core.models.prices import max_output_tokens
from local.gemini.script import Scripted, finished, overloaded
from tests.support.gemini_responses import part
from tests.support.harness import PROMPT, Harness, sample_image


def usage(image: int, text: int) -> dict[str, Any]:
    """Return the usage of a call with one input and these output tokens."""
    return {
        "promptTokenCount": INPUT_IMAGE_TOKENS + len(PROMPT),
        "candidatesTokenCount": image + text,
        "candidatesTokensDetails": [
            {"modality": "IMAGE", "tokenCount": image},
            {"modality": "TEXT", "tokenCount": text},
        ],
    }


def text_only(model: str) -> Scripted:
    """Return an answer without an image and with the longest text that the bound on output tokens allows."""
    return finished("STOP", {"text": "word"}, usage=usage(0, max_output_tokens(model, None)))


def image(model: str) -> Scripted:
    """Return an answer with an image and the longest text."""
    longest = max_output_tokens(model, None) - 1120
    return finished("STOP", {"text": "word"}, part(sample_image()), usage=usage(1120, longest))


def expected(product: Harness, options: Options | None = None) -> float:
    spending = product.app.components.spending
    return spending.expected(options or Options(), 1, len(PROMPT))


async def test_image_with_the_longest_text_stays_within_the_expected_cost(product: Harness) -> None:
    product.fake_gemini.script.add(image("gemini-3-pro-image"))
    assert (await product.generate()).status == 200
    assert product.fake_gemini.billed_usd <= expected(product)


async def test_fallback_to_the_most_expensive_model_stays_within_the_expected_cost(product: Harness) -> None:
    """The requested cheap model is overloaded; the most expensive model of the chain answers with the longest text."""
    product.fake_gemini.script.add(overloaded(), overloaded(), image("gemini-3-pro-image"))
    made = await product.generate(model="gemini-2.5-flash-image")
    assert made.status == 200
    assert made.json["model"] == "gemini-3-pro-image"
    assert product.fake_gemini.billed_usd <= expected(product, Options(model="gemini-2.5-flash-image"))


async def test_answer_without_an_image_exceeds_the_expected_cost_by_its_own_cost(product: Harness) -> None:
    """The maximum of one generation: the most expensive model's longest text, then an image with the longest text."""
    model = "gemini-3-pro-image"
    product.fake_gemini.script.add(text_only(model), image(model))
    assert (await product.generate()).status == 200
    cost_of_text = min(call.billed_usd for call in product.fake_gemini.calls)
    assert product.fake_gemini.billed_usd <= expected(product) + cost_of_text
    assert cost_of_text < 0.31 * expected(product)


async def test_answers_without_an_image_from_every_model_cost_about_as_much_as_an_image(product: Harness) -> None:
    product.fake_gemini.script.add(*(text_only("gemini-3-pro-image") for _ in range(20)))
    assert (await product.generate()).status == 500
    assert 1 < len(product.fake_gemini.calls) <= 6
    assert product.fake_gemini.billed_usd <= 1.31 * expected(product)


async def test_two_processes_exceed_the_budget_by_at_most_their_concurrent_generations(product: Harness) -> None:
    product.fake_gemini.latency = 0.5
    concurrent, usd = 3, expected(product)
    budget = round(4 * usd, 6)
    settings = {"DAILY_BUDGET_USD_PER_USER": str(budget), "MAX_CONCURRENT_PER_USER": str(concurrent)}
    async with product.another(**settings) as one, product.another(**settings) as two:
        product.fake_gemini.script.add(*(image("gemini-3-pro-image") for _ in range(40)))
        for _ in range(4):
            await asyncio.gather(*(each.generate() for each in (one, two) * 5))
    assert product.fake_gemini.billed_usd <= budget + concurrent * usd
