"""What a generation is begun and run with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from image_core.clock import Deadline
from image_core.generated import Attempt, Generated, Options
from image_core.inflight import Claim
from image_core.picture import Picture
from image_core.trace import Trace


class Model(Protocol):
    """The chain of models (`model.chain.ModelChain`)."""

    async def generate(
        self,
        pictures: Sequence[Picture],
        prompt: str,
        options: Options,
        deadline: Deadline,
        noted: Callable[[Attempt], None],
    ) -> Generated: ...


@dataclass(frozen=True, slots=True)
class Held:
    """Inputs in memory, the claim on the process's bytes that is released with them, and what was measured so far."""

    pictures: tuple[Picture, ...]
    claim: Claim
    trace: Trace


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
    trace_parent: str | None = None
