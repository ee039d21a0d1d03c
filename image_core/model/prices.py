"""What the models cost and can do: one small table, with its date and source.

Prices of ai.google.dev/gemini-api/docs/pricing (standard tier), read 2026-11: an output image of 1120 tokens (1K, 2K) is
$0.134 and of 2000 (4K) $0.24 with the pro models, one of 1290 is $0.039 with 2.5 flash.
"""

from dataclasses import dataclass

from image_core.generated import Usage

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """US dollars for a million tokens, and the sizes that the model can make, smallest first."""

    input: float
    output_text: float
    output_image: float
    sizes: tuple[str, ...]


_PRO = Known(2.00, 12.00, 120.00, ("1K", "2K", "4K"))
_FLASH = Known(0.30, 2.50, 30.00, ("1K",))

KNOWN: dict[str, Known] = {
    "gemini-3-pro-image-preview": _PRO,
    "gemini-3-pro-image": _PRO,
    "gemini-2.5-flash-image": _FLASH,
}


def cost_usd(model: str, input_tokens: int, output_by_modality: dict[str, int]) -> float | None:
    """The price of one call; None where the model is not in the table. What is not an image is priced as text."""
    known = KNOWN.get(model)
    if known is None:
        return None
    images = output_by_modality.get("IMAGE", 0)
    others = sum(output_by_modality.values()) - images
    total = input_tokens * known.input + images * known.output_image + others * known.output_text
    return round(total / MILLION, 6)


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
