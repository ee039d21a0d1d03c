"""The limits of one run of a generation."""

from dataclasses import dataclass

from image_core.generations.converter import COMPOSE_SECONDS, CONVERT_SECONDS

KEEP_SECONDS = 300.0
"""Maximum time that an image, or the end of a generation, waits in memory for a storage that is down."""

MARGIN_SECONDS = 10.0
"""The time between the last write of an invocation and the host's timeout."""

MAX_LOST_CLAIMS = 5
"""How often a process may die with a generation before it has called a model for it."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Times in seconds. `max_recoveries`: how often a generation is run again after its process died."""

    deadline_seconds: float
    """Maximum time for the calls of models."""
    lease_seconds: float
    max_recoveries: int
    invocation_seconds: float
    """Maximum time of an invocation, which the host enforces."""

    @property
    def compose_seconds(self) -> float:
        """Maximum time for composing a masked edit."""
        return min(COMPOSE_SECONDS, self._seconds_after_models / 2)

    @property
    def keep_seconds(self) -> float:
        """Maximum time that an image, or the end of a generation, waits for the storage."""
        return min(KEEP_SECONDS, self._seconds_after_models - max(CONVERT_SECONDS, self.compose_seconds))

    @property
    def _seconds_after_models(self) -> float:
        return self.invocation_seconds - self.deadline_seconds - MARGIN_SECONDS
