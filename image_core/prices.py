"""What the models cost and can do: one small table, with its date and source.

Prices of ai.google.dev/gemini-api/docs/pricing (standard tier), read 2026-11: an output image of 1120 tokens (1K, 2K) is
$0.134 and of 2000 (4K) $0.24 with the pro models, one of 1290 is $0.039 with 2.5 flash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from image_core.generated import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """US dollars for a million tokens, and the tokens of a picture by the sizes that the model can make, smallest first."""

    input: float
    output_text: float
    output_image: float
    image_tokens: Mapping[str, int] = field(hash=False)

    @property
    def sizes(self) -> tuple[str, ...]:
        return tuple(self.image_tokens)

    def cost(self, input_tokens: int, output_by_modality: Mapping[str, int]) -> float:
        """US dollars, to a millionth. What is not an image is priced as text."""
        images = output_by_modality.get("IMAGE", 0)
        others = sum(output_by_modality.values()) - images
        dollars = input_tokens * self.input + images * self.output_image + others * self.output_text
        return round(dollars / MILLION, 6)


_PRO = Known(2.00, 12.00, 120.00, {"1K": 1120, "2K": 1120, "4K": 2000})
_FLASH = Known(0.30, 2.50, 30.00, {"1K": 1290})

KNOWN: dict[str, Known] = {
    "gemini-3-pro-image-preview": _PRO,
    "gemini-3-pro-image": _PRO,
    "gemini-2.5-flash-image": _FLASH,
}

DEAREST = Known(
    max(known.input for known in KNOWN.values()),
    max(known.output_text for known in KNOWN.values()),
    max(known.output_image for known in KNOWN.values()),
    max((known.image_tokens for known in KNOWN.values()), key=lambda tokens: max(tokens.values())),
)
"""What a model counts as, for budgets, whose price is not known: no budget is passed because a model is new."""


def cost_usd(model: str, input_tokens: int, output_by_modality: dict[str, int]) -> float | None:
    """The price of one call; None where the model is not in the table. What is not an image is priced as text."""
    known = KNOWN.get(model)
    return None if known is None else known.cost(input_tokens, output_by_modality)


def budget_usd(model: str, usage: Usage) -> float:
    """What a call counts as in a budget: its price, or the highest that is known."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    return KNOWN.get(model, DEAREST).cost(usage.input_tokens or 0, usage.output_by_modality)


def expected_usd(model: str, size: str | None) -> float:
    """What a picture of `size` by `model` is likely to cost, before it is made: the tokens of the picture alone."""
    known = KNOWN.get(model, DEAREST)
    tokens = known.image_tokens.get(size or known.sizes[0], max(known.image_tokens.values()))
    return known.cost(0, {"IMAGE": tokens})


def priced(model: str, input_by_modality: dict[str, int], output_by_modality: dict[str, int]) -> Usage:
    """The usage of one call with its price."""
    input_tokens, output_tokens = sum(input_by_modality.values()), sum(output_by_modality.values())
    cost = cost_usd(model, input_tokens, output_by_modality)
    return Usage(input_tokens, output_tokens, cost, input_by_modality, output_by_modality)


def largest_size(model: str, asked: str | None) -> str | None:
    """The size to ask `model` for: what was asked where it can do it or is not known, else its largest."""
    known = KNOWN.get(model)
    if asked is None or known is None or asked in known.sizes:
        return asked
    return known.sizes[-1]
