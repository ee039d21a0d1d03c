"""How a model of the chain stands, as far as a look at it can tell without a generation."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    UNKNOWN = "unknown"
    """A gateway that has no route for this question: no proof that generation fails."""
    GONE = "gone"
    NO_QUOTA = "no_quota"
    """The quota of the day is used up, as a generation of this process has learned."""
    ACCOUNT_REFUSED = "account_refused"
    """The service does not serve the operator's account."""
    KEY_REFUSED = "key_refused"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Probed:
    """`reason` says more where the state is not `ok`: `status 503`, `timeout`, `unreachable`."""

    model: str
    state: State
    reason: str = ""

    @property
    def words(self) -> str:
        """For health: `ok`, or why not."""
        return self.reason or self.state.value


class ChainState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """A later model has to do the work of the first."""
    UNKNOWN = "unknown"
    DOWN = "down"


def state_of_chain(probed: Sequence[Probed]) -> ChainState:
    """The chain works while at least one of its models answers."""
    states = [each.state for each in probed]
    if states[0] in {State.OK, State.UNKNOWN}:
        return ChainState(states[0].value)
    if State.OK in states:
        return ChainState.DEGRADED
    return ChainState.UNKNOWN if State.UNKNOWN in states else ChainState.DOWN
