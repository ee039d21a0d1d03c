"""Create the inputs of a run, from a request or from their stored copies, with their claim on the memory budget."""

from image_core.clock import Clock, Deadline
from image_core.generations.context import Conversations
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.record import Record
from image_core.generations.trace import Trace
from image_core.images.image import Image
from image_core.runtime.memory_budget import Claim, MemoryBudget


class RunInputs:
    """Makes the inputs that a run holds."""

    def __init__(self, conversations: Conversations, memory_budget: MemoryBudget, clock: Clock) -> None:
        self._conversations = conversations
        self._memory_budget = memory_budget
        self._clock = clock

    def claim(self, user_id: str, deadline: Deadline | None = None) -> Claim:
        """Return an empty claim on the memory budget, which waits until `deadline` at most."""
        return self._memory_budget.claim(user_id, deadline)

    def trace(self) -> Trace:
        """Begin to measure a generation."""
        return Trace(self._clock)

    def loaded(self, record: Record, claim: Claim, trace: Trace, images: tuple[Image, ...]) -> HeldInputs:
        """Return the inputs of a new generation, which are in memory."""
        return self._conversations.hold(record, claim, trace, images)

    def stored(self, record: Record) -> HeldInputs:
        """Return the inputs of a generation that is resumed, which are still to be loaded."""
        return self._conversations.hold(record, self.claim(record.user_id), self.trace())
