"""The inputs of one run: held in memory until they are sent, and read again for another attempt."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from image_core.generations.trace import Trace
from image_core.images.image import Image
from image_core.models.turns import EarlierTurn
from image_core.runtime.memory_budget import Claim


@dataclass(frozen=True, slots=True)
class Context:
    """The earlier turns of an edit: the model that made them, None where there are none, and what reads them."""

    model: str | None
    read: Callable[[], Awaitable[tuple[EarlierTurn, ...]]]


class HeldInputs:
    """The inputs of a run, the memory for its image, and its trace. Implements `models.provider.CallInputs`.

    `claim` is on the memory budget. `size` is the number of bytes of the inputs and the earlier turns. `read` reads the
    inputs from their private copies: for the first attempt if `images` is None, and for every attempt after the inputs
    were sent.
    """

    def __init__(
        self,
        claim: Claim,
        trace: Trace,
        size: int,
        read: Callable[[], Awaitable[tuple[Image, ...]]],
        images: tuple[Image, ...] | None = None,
        context: Context | None = None,
    ) -> None:
        self.trace = trace
        self.size = size
        self._claim = claim
        self._read = read
        self._images = images
        self._context = context
        self.may_be_billed = False
        """Whether sending a request to a model has begun: from then on the call may be billed."""
        self.arriving = False
        """Whether the answer has begun to arrive."""

    @property
    def continues(self) -> bool:
        """Whether the first input is the image of an earlier generation."""
        return self._context is not None

    @property
    def turns_of(self) -> str | None:
        """The model that made the earlier turns; None where there are none that can be replayed."""
        return None if self._context is None else self._context.model

    async def turns(self) -> tuple[EarlierTurn, ...]:
        """Read the earlier turns, oldest first; none where they are gone."""
        return () if self._context is None else await self._context.read()

    async def load(self) -> None:
        """Wait for memory for the inputs, and read them. Raises Busy, StorageUnavailable, Internal."""
        await self._claim.enter(self.size)
        await self.images()

    async def images(self) -> tuple[Image, ...]:
        """Return the inputs, from memory or read again."""
        self.may_be_billed = self.arriving = False
        if self._images is None:
            self._claim.release()
            self._claim.take(self.size)
            self._images = await self._read()
        return self._images

    def sending(self) -> None:
        """Note that the call may be billed from now on."""
        self.may_be_billed = True

    def sent(self) -> None:
        """Release the inputs."""
        self.release()

    async def receiving(self, count: int, seconds: float) -> None:
        """Wait for memory for the answer, for at most `seconds`."""
        self.arriving = True
        await self._claim.receive(count, seconds)

    def received(self, count: int) -> None:
        """Count more bytes of the answer."""
        self._claim.take(count)

    def release(self) -> None:
        """Release the inputs and their memory; safe to repeat."""
        self._images = None
        self._claim.release()
