"""The state of models, by their descriptions and by the cheapest call, with a provider in memory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from image_core.clock import Clock
from image_core.models.availability import GONE_FOR, Availability
from image_core.models.probe import ChainState, ModelProbe, Probed, State, state_of_chain
from image_core.models.provider import Call, CallFailed, CallInputs, Reply

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
RESET = "2026-01-16T08:00:00.000Z"
"""The next midnight Pacific time after NOW."""


@dataclass(slots=True)
class FakeProvider:
    """Raises the error of a model. The model "hangs" never answers."""

    errors: Mapping[str, CallFailed | None] = field(default_factory=dict)

    def check_configured(self) -> None:
        """Accept every configuration."""

    async def generate(self, call: Call, inputs: CallInputs, seconds: float) -> Reply:
        raise AssertionError("a probe must not generate")

    async def describe(self, model: str) -> None:
        await self._answer(model)

    async def smallest_call(self, model: str) -> None:
        await self._answer(model)

    async def _answer(self, model: str) -> None:
        if model == "hangs":
            await asyncio.Event().wait()
        if (error := self.errors.get(model)) is not None:
            raise error

    async def close(self) -> None:
        """Do nothing: no connection is open."""


def probe(errors: Mapping[str, CallFailed | None], *, gateway: bool = False) -> tuple[ModelProbe, Availability]:
    availability = Availability(Clock(now=lambda: NOW))
    return ModelProbe(FakeProvider(errors), availability, gateway=gateway), availability


DESCRIPTIONS: list[tuple[str, CallFailed | None, State, str]] = [
    ("an answer", None, State.OK, ""),
    ("a refused key", CallFailed(400, key_refused=True), State.KEY_REFUSED, "status 400"),
    ("401", CallFailed(401), State.KEY_REFUSED, "status 401"),
    ("403", CallFailed(403), State.KEY_REFUSED, "status 403"),
    ("a lost connection", CallFailed(None, lost=True), State.DOWN, "unreachable"),
    ("503", CallFailed(503), State.DOWN, "status 503"),
    ("404 of the service", CallFailed(404, names_model=True), State.GONE, "status 404"),
]


@pytest.mark.parametrize(
    ("error", "state", "reason"), [row[1:] for row in DESCRIPTIONS], ids=[row[0] for row in DESCRIPTIONS]
)
async def test_state_by_the_description(error: CallFailed | None, state: State, reason: str) -> None:
    checks, _ = probe({"m": error})
    assert await checks.describe_all(["m"], 5) == [Probed("m", state, reason)]


GATEWAYS: list[tuple[str, CallFailed, State]] = [
    ("no route", CallFailed(404), State.UNKNOWN),
    ("a method that is not allowed", CallFailed(405), State.UNKNOWN),
    ("a web page", CallFailed(None), State.UNKNOWN),
    ("404 that names the model", CallFailed(404, names_model=True), State.GONE),
    ("503", CallFailed(503), State.DOWN),
]


@pytest.mark.parametrize(("error", "state"), [row[1:] for row in GATEWAYS], ids=[row[0] for row in GATEWAYS])
async def test_gateway_without_descriptions_does_not_make_models_gone(error: CallFailed, state: State) -> None:
    checks, _ = probe({"m": error}, gateway=True)
    assert [each.state for each in await checks.describe_all(["m"], 5)] == [state]


async def test_model_that_a_gateway_with_descriptions_does_not_have_is_gone() -> None:
    checks, _ = probe({"there": None, "missing": CallFailed(404)}, gateway=True)
    states = [each.state for each in await checks.describe_all(["there", "missing"], 5)]
    assert states == [State.OK, State.GONE]


async def test_description_that_does_not_come_in_time_is_a_timeout() -> None:
    checks, _ = probe({})
    assert await checks.describe_all(["hangs"], 0) == [Probed("hangs", State.DOWN, "timeout")]


async def test_model_without_daily_quota_is_not_ok_although_it_is_described() -> None:
    checks, availability = probe({})
    availability.note_quota_used("m")
    (found,) = await checks.describe_all(["m"], 5)
    assert found == Probed("m", State.NO_QUOTA, f"quota used up until {RESET}")
    assert found.words == f"quota used up until {RESET}"


CALLS: list[tuple[str, CallFailed | None, State, str]] = [
    ("an answer", None, State.OK, ""),
    ("a refused key", CallFailed(400, name="INVALID_ARGUMENT", key_refused=True), State.KEY_REFUSED,
     "status 400 INVALID_ARGUMENT"),
    ("403", CallFailed(403), State.KEY_REFUSED, "status 403"),
    ("404", CallFailed(404, name="NOT_FOUND"), State.GONE, "status 404 NOT_FOUND"),
    ("a used-up daily quota", CallFailed(429, day_quota_used=True), State.NO_QUOTA, f"quota used up until {RESET}"),
    ("an account that is not served", CallFailed(400, name="FAILED_PRECONDITION"), State.ACCOUNT_REFUSED,
     "status 400 FAILED_PRECONDITION"),
    ("a model that accepts no such call", CallFailed(400, name="INVALID_ARGUMENT"), State.OK, ""),
    ("a quota of minutes", CallFailed(429), State.DOWN, "status 429"),
    ("no answer", CallFailed(None, lost=True), State.DOWN, "unreachable"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "state", "reason"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
async def test_state_by_the_cheapest_call(error: CallFailed | None, state: State, reason: str) -> None:
    checks, _ = probe({"m": error})
    assert await checks.call("m", 5) == Probed("m", state, reason)


async def test_call_that_does_not_end_in_time_is_a_timeout() -> None:
    checks, _ = probe({})
    assert await checks.call("hangs", 0) == Probed("hangs", State.DOWN, "timeout")


async def test_used_up_quota_that_a_call_finds_is_known_to_the_chain() -> None:
    checks, availability = probe({"m": CallFailed(429, day_quota_used=True)})
    await checks.call("m", 5)
    assert not availability.callable("m")
    assert list(availability.out_of_quota()) == ["m"]


CHAINS = [
    ([State.OK, State.DOWN], ChainState.OK),
    ([State.UNKNOWN, State.OK], ChainState.UNKNOWN),
    ([State.GONE, State.OK], ChainState.DEGRADED),
    ([State.DOWN, State.UNKNOWN], ChainState.UNKNOWN),
    ([State.NO_QUOTA, State.DOWN], ChainState.DOWN),
]


@pytest.mark.parametrize(("states", "state"), CHAINS)
def test_state_of_a_chain(states: list[State], state: ChainState) -> None:
    assert state_of_chain([Probed(f"m{number}", each) for number, each in enumerate(states)]) is state


def test_model_that_answered_404_may_be_called_again_after_an_hour() -> None:
    now = [NOW]
    availability = Availability(Clock(now=lambda: now[0]))
    availability.note_gone("m")
    assert (availability.callable("m"), availability.gone()) == (False, {"m": NOW})
    now[0] = NOW + GONE_FOR - timedelta(microseconds=1)
    assert not availability.callable("m")
    now[0] = NOW + GONE_FOR
    assert (availability.callable("m"), availability.gone()) == (True, {})
