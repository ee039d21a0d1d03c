"""Measure the steps of one generation: for its record's `timings`, and as metrics.

The metrics are OpenTelemetry's: they cost nothing unless the process configures an OpenTelemetry SDK. `gen_ai.…` are
its semantic conventions.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics

from image_core.clock import Clock, Deadline
from image_core.models.generated import OK, Attempt

TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""The header of W3C Trace Context, version 00."""

_meter = metrics.get_meter("image_core")
_generations = _meter.create_counter(
    "image_api.generations", description="Generations that ended, by outcome and model"
)
_duration = _meter.create_histogram(
    "image_api.generation.duration", unit="s", description="From the request to the end"
)
_steps = _meter.create_histogram("image_api.step.duration", unit="s", description="What a step of a generation took")
_cost = _meter.create_counter(
    "image_api.cost", unit="USD", description="What the model's calls cost, where it is known"
)
_calls = _meter.create_histogram(
    "gen_ai.client.operation.duration", unit="s", description="What one call of a model took"
)
_tokens = _meter.create_histogram("gen_ai.client.token.usage", unit="{token}", description="Tokens of one call")


def trace_parent(header: str | None) -> str | None:
    """Return the caller's `traceparent` header, None where it is not one."""
    return header if header is not None and TRACE_PARENT.fullmatch(header) else None


class Trace:
    """The measurements of one run of a generation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self.steps: dict[str, float] = {}
        """Seconds, by the step's name."""

    def deadline(self, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return self._clock.deadline(seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside, even where it fails."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + self._clock.monotonic() - began

    def timings(self) -> dict[str, int]:
        """Milliseconds by step so far, and `total` since the trace began."""
        seconds = {**self.steps, "total": self._clock.monotonic() - self._began}
        return {name: round(value * 1000) for name, value in seconds.items()}

    def ended(self, outcome: str, model: str | None, attempts: tuple[Attempt, ...]) -> None:
        """Record the metrics of one run: `outcome` is `ok` or an error code, `attempts` are its calls."""
        labels = {"outcome": outcome, "model": model or "none"}
        _generations.add(1, labels)
        _duration.record(self._clock.monotonic() - self._began, labels)
        for name, seconds in self.steps.items():
            _steps.record(seconds, {"step": name})
        for attempt in attempts:
            _measure(attempt)


def _measure(attempt: Attempt) -> None:
    labels = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": attempt.model}
    error = {} if attempt.outcome == OK else {"error.type": attempt.outcome}
    _calls.record(attempt.duration_ms / 1000, {**labels, **error})
    if attempt.usage is None:
        return
    for kind, tokens in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
        if tokens is not None:
            _tokens.record(tokens, {**labels, "gen_ai.token.type": kind})
    if attempt.usage.cost_usd is not None:
        _cost.add(attempt.usage.cost_usd, {"model": attempt.model})
