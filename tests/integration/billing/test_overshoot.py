"""By how much a budget can be passed: the worst cases, as the table in docs/money.md has them."""

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


def words(model: str) -> Scripted:
    """Return an answer without an image and with the longest text that the bound on output tokens allows."""
    return finished("STOP", {"text": "word"}, usage=usage(0, max_output_tokens(model, None)))


def image(model: str) -> Scripted:
    """Return an image with the longest text beside it."""
    longest = max_output_tokens(model, None) - 1120
    return finished("STOP", {"text": "word"}, part(sample_image()), usage=usage(1120, longest))


def expected(product: Harness, options: Options | None = None) -> float:
    spending = product.app.components.spending
    return spending.expected(options or Options(), 1, len(PROMPT))


async def test_an_image_with_the_longest_text_costs_what_was_expected(product: Harness) -> None:
    product.fake_gemini.script.add(image("gemini-3-pro-image"))
    assert (await product.generate()).status == 200
    assert product.fake_gemini.billed_usd <= expected(product)


async def test_a_dear_fallback_was_expected(product: Harness) -> None:
    """The requested cheap model is overloaded; the dearest model of the chain answers with the longest text."""
    product.fake_gemini.script.add(overloaded(), overloaded(), image("gemini-3-pro-image"))
    made = await product.generate(model="gemini-2.5-flash-image")
    assert made.status == 200
    assert made.json["model"] == "gemini-3-pro-image"
    assert product.fake_gemini.billed_usd <= expected(product, Options(model="gemini-2.5-flash-image"))


async def test_words_only_pass_it_by_those_of_the_call_before_the_image(product: Harness) -> None:
    """The most that one generation can cost: the dearest model's longest text, then its image with as long a text."""
    model = "gemini-3-pro-image"
    product.fake_gemini.script.add(words(model), image(model))
    assert (await product.generate()).status == 200
    only_words = min(call.billed_usd for call in product.fake_gemini.calls)
    assert product.fake_gemini.billed_usd <= expected(product) + only_words
    assert only_words < 0.31 * expected(product)


async def test_words_from_every_model_of_the_chain_cost_about_an_image(product: Harness) -> None:
    product.fake_gemini.script.add(*(words("gemini-3-pro-image") for _ in range(20)))
    assert (await product.generate()).status == 500
    assert 1 < len(product.fake_gemini.calls) <= 6
    assert product.fake_gemini.billed_usd <= 1.31 * expected(product)


async def test_two_processes_let_in_one_more_each_at_the_same_moment(product: Harness) -> None:
    product.fake_gemini.latency = 0.5
    concurrent, usd = 3, expected(product)
    budget = round(4 * usd, 6)
    settings = {"DAILY_BUDGET_USD_PER_USER": str(budget), "MAX_CONCURRENT_PER_USER": str(concurrent)}
    async with product.another(**settings) as one, product.another(**settings) as two:
        product.fake_gemini.script.add(*(image("gemini-3-pro-image") for _ in range(40)))
        for _ in range(4):
            await asyncio.gather(*(each.generate() for each in (one, two) * 5))
    assert product.fake_gemini.billed_usd <= budget + concurrent * usd
