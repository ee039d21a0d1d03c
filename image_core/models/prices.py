"""The cost of model calls: as billed, as counted in budgets, and as expected before a call. Prices: `catalog`."""

from collections.abc import Iterable, Mapping
from datetime import date

from image_core.models import catalog
from image_core.models.catalog import (
    INPUT_IMAGE_TOKENS,
    MODELS,
    MOST_EXPENSIVE,
    TEXT_TOKENS,
    THINKING_TOKENS,
    ImageModel,
)
from image_core.models.generated import Options, Usage
from image_core.models.turns import ContextSize

TYPICAL_PROMPT_CHARACTERS = 1000
"""Assumed length of a prompt that is not known."""


def cost_usd(model: str, input_tokens: int, output_by_modality: Mapping[str, int]) -> float | None:
    """Return the price of one call; None where the model is not in the catalog. All but images is priced as text."""
    known = MODELS.get(model)
    return None if known is None else known.cost(input_tokens, output_by_modality)


def budget_usd(model: str, usage: Usage) -> float:
    """Return the amount that a call counts in a budget: its price, or the highest known price."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    return MODELS.get(model, MOST_EXPENSIVE).cost(usage.input_tokens or 0, usage.output_by_modality)


def expected_usd(model: str, size: str | None) -> float:
    """Return the price of the output tokens of one image of `size`; the highest where `model` is not in the catalog."""
    return MODELS.get(model, MOST_EXPENSIVE).image_price(size)


def max_output_tokens(model: str, size: str | None) -> int:
    """Return the output limit that is sent with a call: enough for an image, thoughts and a paragraph."""
    known = MODELS.get(model)
    if known is not None:
        return known.max_output_tokens(size)
    return max(each.tokens_of(size) for each in MODELS.values()) + THINKING_TOKENS + TEXT_TOKENS


def expected_cost(
    models: Iterable[str],
    options: Options,
    inputs: int,
    on: date,
    prompt_characters: int = TYPICAL_PROMPT_CHARACTERS,
    context: ContextSize | None = None,
) -> float:
    """Return the maximum cost of one answered call of a generation in US dollars, which budgets count before the call.

    `models` are the configured names; retired ones mean their successors as of the day `on`. Of those that can take the
    request (`options`, `inputs` images) the most expensive counts, because the chain may call it. The sum covers the
    inputs' and the prompt's tokens, one image of the size that is asked for, and as text what `max_output_tokens`
    leaves beside it, and the earlier turns (`context`) where a model of their family may be asked. A model that is not
    in the catalog counts as the most expensive one of the catalog.

    Not covered: answers without an image that are billed and asked for again. They are in the record as soon as they
    are there.
    """
    links = catalog.chain((options.model, *models) if options.model else models, on)
    able = [link.model for link in links if catalog.lack(link.model, options, inputs) is None]
    # Nearly every token has at least one character, and most have three or four.
    plain = inputs * INPUT_IMAGE_TOKENS + prompt_characters
    return max(
        (_most(model, options.image_size, plain + _context_tokens(model, context)) for model in able), default=0.0
    )


def _context_tokens(model: str, context: ContextSize | None) -> int:
    """Return the maximum input tokens of earlier turns. Their thoughts are in the signatures, and may count again."""
    if context is None or catalog.family(context.model) != catalog.family(model):
        return 0
    return context.images * INPUT_IMAGE_TOKENS + context.characters + context.turns * THINKING_TOKENS


def _most(model: str, size: str | None, given: int) -> float:
    known = MODELS.get(model)
    if known is None:
        lines = [each for each in MODELS.values() if size is None or size in each.image_sizes]
        return max(_most_of(each, size, given) for each in lines)
    return _most_of(known, size, given)


def _most_of(known: ImageModel, size: str | None, given: int) -> float:
    image = known.tokens_of(size)
    return known.cost(given, {"IMAGE": image, "TEXT": known.max_output_tokens(size) - image})


def priced(model: str, input_by_modality: dict[str, int], output_by_modality: dict[str, int]) -> Usage:
    """Return the usage of one call with its price."""
    input_tokens, output_tokens = sum(input_by_modality.values()), sum(output_by_modality.values())
    cost = cost_usd(model, input_tokens, output_by_modality)
    return Usage(input_tokens, output_tokens, cost, input_by_modality, output_by_modality)
