"""One generation as an operator sees it: a line when it ends, with what each step took, and the same as metrics.

The line is `generation {…}`: JSON, which `infra/queries.kql` and the alerts read. It names a user by a hash, and holds no
prompt (unless LOG_PROMPTS is set), no picture, no token and no address of anybody.

The metrics are OpenTelemetry's: they cost nothing until a host brings an SDK. `gen_ai.…` are its semantic conventions.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics

from image_core.clock import Clock
from image_core.generated import Attempt, Usage
from image_core.user import User

log = logging.getLogger("image_core.generation")

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
    """The caller's trace, where the header is one."""
    return header if header is not None and TRACE_PARENT.fullmatch(header) else None


class Trace:
    """What is measured on the way of one generation. `parent` is the caller's `traceparent`."""

    def __init__(self, clock: Clock, parent: str | None = None) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self.parent = parent
        self.steps: dict[str, float] = {}
        """Seconds, by the step's name."""
        self.bytes_in = 0
        self.bytes_out = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside, even where it fails."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + self._clock.monotonic() - began

    def ended(
        self,
        user: User,
        outcome: str,
        model: str | None,
        attempts: tuple[Attempt, ...],
        usage: Usage | None,
        **more: Any,
    ) -> None:
        """Tell of it: `outcome` is `ok` or an error code, `attempts` what this process made. `more` goes into the line."""
        total = self._clock.monotonic() - self._began
        cost = None if usage is None else usage.cost_usd
        line = {
            **more,
            "user": user.folder,
            "outcome": outcome,
            "model": model,
            "attempts": [
                {"model": attempt.model, "outcome": attempt.outcome, "durationMs": attempt.duration_ms}
                for attempt in attempts
            ],
            "durationMs": _milliseconds({**self.steps, "total": total}),
            "bytesIn": self.bytes_in,
            "bytesOut": self.bytes_out,
            "costUsd": cost,
            "traceId": None if self.parent is None else self.parent.split("-")[1],
        }
        log.info("generation %s", json.dumps(line, ensure_ascii=False))
        labels = {"outcome": outcome, "model": model or "none"}
        _generations.add(1, labels)
        _duration.record(total, labels)
        for name, seconds in self.steps.items():
            _steps.record(seconds, {"step": name})
        for attempt in attempts:
            _measure(attempt)


def _measure(attempt: Attempt) -> None:
    labels = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": attempt.model}
    error = {} if attempt.outcome == "ok" else {"error.type": attempt.outcome}
    _calls.record(attempt.duration_ms / 1000, {**labels, **error})
    if attempt.usage is None:
        return
    for kind, tokens in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
        if tokens is not None:
            _tokens.record(tokens, {**labels, "gen_ai.token.type": kind})
    if attempt.usage.cost_usd is not None:
        _cost.add(attempt.usage.cost_usd, {"model": attempt.model})


def _milliseconds(seconds: Mapping[str, float]) -> dict[str, int]:
    return {name: round(value * 1000) for name, value in seconds.items()}
