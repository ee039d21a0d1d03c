"""What a generation is begun and run with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from image_core.clock import Deadline
from image_core.generations.record import MaskedEdit, StoredTurn
from image_core.generations.trace import Trace
from image_core.images.image import Image
from image_core.models.generated import Attempt, Generated, Options
from image_core.models.hold import Hold
from image_core.models.turns import EarlierTurn
from image_core.runtime.memory_budget import Claim


class Model(Protocol):
    """The chain of models (`model.chain.ModelChain`)."""

    async def generate(
        self,
        hold: Hold,
        prompt: str,
        options: Options,
        deadline: Deadline,
        noted: Callable[[Attempt], None],
    ) -> Generated: ...


@dataclass(frozen=True, slots=True)
class Context:
    """The earlier turns of an edit: the model that made them, None where there are none, and what reads them."""

    model: str | None
    read: Callable[[], Awaitable[tuple[EarlierTurn, ...]]]


class Held:
    """The inputs of a generation and room for its picture (`model.hold.Hold`), and what was measured so far.

    `claim` is on the bytes of this process, `size` those of the inputs and of the earlier turns. `read` gets them from their private copies: for a first
    attempt where `pictures` are not in memory, and for any that comes after the pictures were sent.
    """

    def __init__(
        self,
        claim: Claim,
        trace: Trace,
        size: int,
        read: Callable[[], Awaitable[tuple[Image, ...]]],
        pictures: tuple[Image, ...] | None = None,
        context: Context | None = None,
    ) -> None:
        self.trace = trace
        self.size = size
        self._claim = claim
        self._read = read
        self._pictures = pictures
        self._context = context
        self.left = False
        """Whether a request to a model was begun to be sent: from then on the call may be billed."""
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

    async def pictures(self) -> tuple[Image, ...]:
        self.left = self.arriving = False
        if self._pictures is None:
            self._claim.release()
            self._claim.take(self.size)
            self._pictures = await self._read()
        return self._pictures

    def leaving(self) -> None:
        self.left = True

    def sent(self) -> None:
        self.release()

    async def receiving(self, count: int, seconds: float) -> None:
        self.arriving = True
        await self._claim.receive(count, seconds)

    def received(self, count: int) -> None:
        self._claim.take(count)

    def release(self) -> None:
        """Nothing is needed any more of what is held; safe to repeat."""
        self._pictures = None
        self._claim.release()


@dataclass(frozen=True, slots=True)
class Order:
    """What a record is begun with."""

    id: str | None
    """None where there was no key: a new one is made."""
    prompt: str
    options: Options
    addresses: tuple[str | None, ...]
    """Of each input, as sent; None where it had none."""
    request_hash: str
    expected_usd: float
    parent_id: str | None = None
    root_id: str | None = None
    context: tuple[StoredTurn, ...] = ()
    trace_parent: str | None = None
    edit: MaskedEdit | None = None
