"""What a call of a model keeps in memory, as it sees it."""

from typing import Protocol

from image_core.images.image import Image
from image_core.models.turns import EarlierTurn


class Hold(Protocol):
    """The inputs of one generation, which are let go while the model works, and room for what it answers."""

    @property
    def continues(self) -> bool:
        """Whether the first input is the image of an earlier generation."""
        ...

    @property
    def turns_of(self) -> str | None:
        """The model that made the earlier turns; None where there are none to be replayed."""
        ...

    async def turns(self) -> tuple[EarlierTurn, ...]:
        """Return the earlier turns, oldest first, read from where they are kept; none where they are gone."""
        ...

    async def pictures(self) -> tuple[Image, ...]:
        """The inputs in their order: from memory, else read again from where they are kept. Raises ImageError."""
        ...

    def leaving(self) -> None:
        """The request is about to be sent: from now on the call may be billed."""
        ...

    def sent(self) -> None:
        """They have left, whole: nothing needs them now but another attempt."""
        ...

    async def receiving(self, count: int, seconds: float) -> None:
        """An answer of about `count` bytes has begun: wait until there is room for it, for at most `seconds`."""
        ...

    def received(self, count: int) -> None:
        """The answer takes `count` bytes more than were waited for."""
        ...
