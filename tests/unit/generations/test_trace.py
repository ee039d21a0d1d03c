"""The measurements of a generation: its steps, its metrics, and the caller's trace."""

import pytest

from image_core.generations.trace import Trace, trace_parent
from image_core.models.generated import OK, Attempt, Usage
from tests.support.fakes.clock import FakeClock
from tests.support.metrics import Labels, metric_reader, metric_values

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        (CALLER, True),
        (None, False),
        ("", False),
        ("00-short-00f067aa0ba902b7-01", False),
        (CALLER.upper(), False),
        (CALLER + "\n", False),
        (CALLER + "-more", False),
    ],
    ids=["valid", "missing", "empty", "short", "upper case", "line break", "long"],
)
def test_trace_of_the_caller_is_kept_where_its_header_is_valid(header: str | None, valid: bool) -> None:
    assert trace_parent(header) == (header if valid else None)


async def test_steps_are_measured_in_milliseconds_also_where_they_fail_or_are_repeated() -> None:
    clock = FakeClock()
    await clock.advance(100)
    trace = Trace(clock.clock)
    await clock.advance(0.5)

    async def broken() -> None:
        with trace.step("model"):
            await clock.advance(1.25)
            raise ValueError("it broke")

    for _ in range(2):
        with pytest.raises(ValueError, match="it broke"):
            await broken()
    with trace.step("picture"):
        await clock.advance(0.0004)
    assert trace.timings() == {"model": 2500, "picture": 0, "total": 3000}
    assert trace.deadline(5).remaining() == 5


async def test_metrics_of_a_run_are_recorded_by_outcome_model_and_step() -> None:
    metric_reader()
    clock = FakeClock()
    await clock.advance(100)
    trace = Trace(clock.clock)
    with trace.step("a step of the test"):
        await clock.advance(2)
    attempts = (
        Attempt("model-1", "no_image", 1500, Usage(7, None, None)),
        Attempt("model-2", "rate_limited", 500),
        Attempt("model-1", OK, 2000, Usage(10, 20, 0.25)),
    )
    before = metric_values()
    trace.ended("an outcome", "model-1", attempts)
    trace.ended("an outcome", None, ())
    after = metric_values()
    changed = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}

    def call(model: str, **others: str) -> Labels:
        labels = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": model}
        return tuple(sorted({**labels, **{name.replace("_", "."): value for name, value in others.items()}}.items()))

    def tokens(model: str, kind: str) -> Labels:
        return tuple(sorted((*call(model), ("gen_ai.token.type", kind))))

    of_model = (("model", "model-1"), ("outcome", "an outcome"))
    of_none = (("model", "none"), ("outcome", "an outcome"))
    assert changed == {
        ("image_api.generations", of_model): 1,
        ("image_api.generations", of_none): 1,
        ("image_api.generation.duration", of_model): 2,
        ("image_api.generation.duration", of_none): 2,
        ("image_api.step.duration", (("step", "a step of the test"),)): 4,
        ("image_api.cost", (("model", "model-1"),)): 0.25,
        ("gen_ai.client.operation.duration", call("model-1", error_type="no_image")): 1.5,
        ("gen_ai.client.operation.duration", call("model-2", error_type="rate_limited")): 0.5,
        ("gen_ai.client.operation.duration", call("model-1")): 2,
        ("gen_ai.client.token.usage", tokens("model-1", "input")): 17,
        ("gen_ai.client.token.usage", tokens("model-1", "output")): 20,
    }
