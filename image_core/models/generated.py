"""The options of a generation, and the results of model calls: attempts, usage, the generated image."""

from dataclasses import dataclass, field
from datetime import datetime

from image_core.images.image import Image, OutputFormat
from image_core.models.turns import ModelTurn

OK = "ok"
"""The outcome of a call that made an image."""

CANCELED = "canceled"
"""The outcome of a call that was aborted because its generation was canceled."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request beside images and prompt; None leaves the choice to the model."""

    model: str | None = None
    aspect_ratio: str | None = None
    image_size: str | None = None
    output_format: OutputFormat | None = None
    """The format in which the image is stored; None: the model's."""
    output_quality: int | None = None
    """1 to 100, for `jpeg` and `webp`; None: DEFAULT_QUALITY."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that the service counted, and their price. A count is None where the service gave none."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """None where the model is not in the price table or the service counted nothing."""
    input_by_modality: dict[str, int] = field(default_factory=dict)
    """Tokens by the service's names: TEXT, IMAGE, …"""
    output_by_modality: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a model. `outcome` is `ok` or an error code; `usage` what the service billed for it, if it said.

    `id` is that of its ledger entry: random, and never used for another call. None in records of older versions.
    """

    model: str
    outcome: str
    duration_ms: int
    usage: Usage | None = None
    started_at: datetime | None = None
    id: str | None = None
    estimated_usd: float | None = None
    """The amount that budgets count for a call whose real cost is not known."""


def merged(there: tuple[Attempt, ...], made: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the attempts in `there`, and those of `made` that are not: each attempt is counted once."""
    known = {attempt.id for attempt in there if attempt.id is not None}
    return there + tuple(
        attempt for attempt in made if (attempt not in there if attempt.id is None else attempt.id not in known)
    )


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated image. `usage` is that of the call that made it; the usage of others is in `attempts`."""

    image: Image
    text: str | None
    model: str
    usage: Usage
    attempts: tuple[Attempt, ...]
    warnings: tuple[str, ...] = ()
    turn: ModelTurn | None = None
    """The model's turn, to be replayed when the image is edited; None where it cannot be."""
    in_context: bool = False
    """Whether the model received the earlier turns."""
