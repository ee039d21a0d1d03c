"""The calls of models and their token usage, as they appear in answers."""

from pydantic import Field

from image_core.api.wire.base import Absent, Time, Wire, absent
from image_core.models import generated


class Usage(Wire):
    """Tokens and price, as the model's service counted them for all attempts together."""

    input_tokens: int | None = Field(description="Tokens of the inputs; null if the service counted none.")
    output_tokens: int | None
    cost_usd: float | None = Field(description="The cost in US dollars; null if the model's price is not known.")
    input_by_modality: dict[str, int] | Absent = absent("Tokens by the service's names.")
    output_by_modality: dict[str, int] | Absent = absent()

    @classmethod
    def of(cls, usage: generated.Usage | None) -> "Usage | None":
        """Return the wire form."""
        if usage is None:
            return None
        return cls(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
            input_by_modality=usage.input_by_modality or None,
            output_by_modality=usage.output_by_modality or None,
        )


class Attempt(Wire):
    """One call of a model."""

    model: str
    outcome: str = Field(
        description="`ok`, or the error code that says why there was no image.", examples=["ok", "model_unavailable"]
    )
    duration_ms: int
    usage: Usage | Absent = absent()
    started_at: Time | Absent = absent()

    @classmethod
    def of(cls, attempt: generated.Attempt) -> "Attempt":
        """Return the wire form."""
        return cls(
            model=attempt.model,
            outcome=attempt.outcome,
            duration_ms=attempt.duration_ms,
            usage=Usage.of(attempt.usage),
            started_at=attempt.started_at,
        )
