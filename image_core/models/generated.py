"""The options of a generation, and the results of model calls: attempts, usage, the generated image."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from image_core.clock import from_iso, iso
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

    def to_dict(self) -> dict[str, str | int]:
        """Return the options that are set. Idempotency fingerprints contain it, so unset options must not be in it."""
        named: dict[str, str | int | None] = {
            "model": self.model,
            "aspectRatio": self.aspect_ratio,
            "imageSize": self.image_size,
            "outputFormat": self.output_format,
            "outputQuality": self.output_quality,
        }
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Options":
        """Read the stored form."""
        return cls(
            stored.get("model"),
            stored.get("aspectRatio"),
            stored.get("imageSize"),
            stored.get("outputFormat"),
            stored.get("outputQuality"),
        )


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

    def to_dict(self) -> dict[str, Any]:
        """Return the form for callers and records."""
        wire: dict[str, Any] = {
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "costUsd": self.cost_usd,
        }
        if self.input_by_modality:
            wire["inputByModality"] = self.input_by_modality
        if self.output_by_modality:
            wire["outputByModality"] = self.output_by_modality
        return wire

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Usage":
        """Read the stored form."""
        return cls(
            stored.get("inputTokens"),
            stored.get("outputTokens"),
            stored.get("costUsd"),
            dict(stored.get("inputByModality", {})),
            dict(stored.get("outputByModality", {})),
        )


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

    def to_wire(self) -> dict[str, Any]:
        """Return the form for callers."""
        wire: dict[str, Any] = {"model": self.model, "outcome": self.outcome, "durationMs": self.duration_ms}
        if self.usage is not None:
            wire["usage"] = self.usage.to_dict()
        if self.started_at is not None:
            wire["startedAt"] = iso(self.started_at)
        return wire

    def to_dict(self) -> dict[str, Any]:
        """Return the stored form."""
        stored = {"id": self.id, "estimatedUsd": self.estimated_usd}
        return {**self.to_wire(), **{name: value for name, value in stored.items() if value is not None}}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Attempt":
        """Read the stored form."""
        usage = stored.get("usage")
        return cls(
            stored["model"],
            stored["outcome"],
            stored["durationMs"],
            None if usage is None else Usage.from_dict(usage),
            None if (started_at := stored.get("startedAt")) is None else from_iso(started_at),
            stored.get("id"),
            stored.get("estimatedUsd"),
        )


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
