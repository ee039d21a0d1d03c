"""Find out whether the models of the chain can be called, without a generation."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from image_core.clock import iso
from image_core.models.availability import Availability
from image_core.models.provider import CallFailed, Provider

UNAUTHORIZED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
NO_ROUTE = {"status 404", "status 405", "status 501"}
"""The answers of a gateway that does not have `GET models/NAME`."""
NOT_DESCRIBED = "unknown: the gateway does not describe models"


class State(StrEnum):
    """The state of one model."""

    OK = "ok"
    UNKNOWN = "unknown"
    """A gateway does not have the route of the check: generations may work."""
    GONE = "gone"
    NO_QUOTA = "no_quota"
    """The daily quota is used up, as a generation of this process has found."""
    ACCOUNT_REFUSED = "account_refused"
    """The service does not serve the operator's account."""
    KEY_REFUSED = "key_refused"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Probed:
    """The state of one model. `reason` explains a state other than `ok`: `status 503`, `timeout`, `unreachable`."""

    model: str
    state: State
    reason: str = ""

    @property
    def words(self) -> str:
        """The text for the health report: `ok`, or the reason."""
        return self.reason or self.state.value


class ChainState(StrEnum):
    """The state of the chain."""

    OK = "ok"
    DEGRADED = "degraded"
    """The first model cannot be called, but a later one can."""
    UNKNOWN = "unknown"
    DOWN = "down"


def state_of_chain(probed: Sequence[Probed]) -> ChainState:
    """Return the state of a chain with models in these states, in order."""
    states = [each.state for each in probed]
    if states[0] in {State.OK, State.UNKNOWN}:
        return ChainState(states[0].value)
    if State.OK in states:
        return ChainState.DEGRADED
    return ChainState.UNKNOWN if State.UNKNOWN in states else ChainState.DOWN


class ModelProbe:
    """Probes models. `gateway`: the provider's address is not its own, and may not have all of its routes."""

    def __init__(self, provider: Provider, availability: Availability, *, gateway: bool) -> None:
        self._provider = provider
        self._availability = availability
        self._gateway = gateway

    async def describe_all(self, models: Sequence[str], seconds: float) -> list[Probed]:
        """Probe models by their descriptions, which is free, each for at most `seconds`."""
        found = await asyncio.gather(*(self._describe(model, seconds) for model in models))
        # A gateway that describes no model does not have the route: that does not mean that the models are gone.
        describes = not self._gateway or any(failed is None for _, failed in found)
        return [self._state(model, failed, describes=describes) for model, failed in found]

    async def call(self, model: str, seconds: float) -> Probed:
        """Probe a model by the cheapest call, which costs less than a hundredth of a cent.

        It shows what a description does not: a used-up daily quota, and an account that is not served.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._provider.smallest_call(model)
        except TimeoutError:
            return Probed(model, State.DOWN, "timeout")
        except CallFailed as failed:
            return self._state_after_call(model, failed)
        return Probed(model, State.OK)

    async def _describe(self, model: str, seconds: float) -> tuple[str, CallFailed | str | None]:
        try:
            async with asyncio.timeout(seconds):
                await self._provider.describe(model)
        except TimeoutError:
            return model, "timeout"
        except CallFailed as failed:
            return model, failed
        return model, None

    def _state_after_call(self, model: str, failed: CallFailed) -> Probed:
        reason = "unreachable" if failed.status is None else f"status {failed.status} {failed.name}".rstrip()
        if failed.key_refused or failed.status in UNAUTHORIZED:
            return Probed(model, State.KEY_REFUSED, reason)
        if failed.status == HTTPStatus.NOT_FOUND:
            return Probed(model, State.GONE, reason)
        if failed.day_quota_used:
            reset = self._availability.note_quota_used(model)
            return Probed(model, State.NO_QUOTA, f"quota used up until {iso(reset)}")
        if failed.name == "FAILED_PRECONDITION":
            return Probed(model, State.ACCOUNT_REFUSED, reason)
        if failed.status == HTTPStatus.BAD_REQUEST:
            return Probed(model, State.OK)  # it exists, and does not accept such a call
        return Probed(model, State.DOWN, reason)

    def _state(self, model: str, failed: CallFailed | str | None, *, describes: bool) -> Probed:
        reset = self._availability.quota_reset(model)
        if failed is None and reset is not None:
            return Probed(model, State.NO_QUOTA, f"quota used up until {iso(reset)}")
        if failed is None:
            return Probed(model, State.OK)
        if isinstance(failed, CallFailed) and (failed.key_refused or failed.status in UNAUTHORIZED):
            return Probed(model, State.KEY_REFUSED, f"status {failed.status}")
        if isinstance(failed, CallFailed) and failed.status is None and not failed.lost and self._gateway:
            return Probed(model, State.UNKNOWN, NOT_DESCRIBED)  # a web page, for example: the route does not exist
        if isinstance(failed, str) or failed.status is None:
            return Probed(model, State.DOWN, failed if isinstance(failed, str) else "unreachable")
        reason = f"status {failed.status}"
        if reason not in NO_ROUTE:
            return Probed(model, State.DOWN, reason)
        if model in self._availability.gone() or describes or failed.names_model:
            return Probed(model, State.GONE, reason)
        return Probed(model, State.UNKNOWN, NOT_DESCRIBED)
