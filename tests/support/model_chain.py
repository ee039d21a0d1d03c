"""The chain of models over real HTTP against the fake Gemini, with a clock that records its sleeps."""

import random
from dataclasses import dataclass, field
from typing import Any

from image_core.clock import Clock
from image_core.images.image import Image
from image_core.models.build import Models, build_models
from image_core.models.chain import ModelChain
from image_core.models.generated import Attempt, Generated, Options
from image_core.models.turns import EarlierTurn
from image_core.settings import DEFAULT_CHAIN, Settings
from local.gemini.server import FakeGemini
from tests.support.harness import sample_image

PRO, NEXT, LITE = DEFAULT_CHAIN
CUP = Image(sample_image(), "image/jpeg", 600, 400)


@dataclass(slots=True)
class FakeInputs:
    """Implements `CallInputs` with images in memory, and records how it is used."""

    inputs: tuple[Image, ...]
    earlier: tuple[EarlierTurn, ...] = ()
    turns_of: str | None = None
    continues: bool = False
    times_sent: int = 0
    waited_for: list[int] = field(default_factory=list)
    more: list[int] = field(default_factory=list)

    async def images(self) -> tuple[Image, ...]:
        """Return the inputs."""
        return self.inputs

    async def turns(self) -> tuple[EarlierTurn, ...]:
        """Return the earlier turns."""
        return self.earlier

    def sending(self) -> None:
        """Do nothing: no test needs it."""

    def sent(self) -> None:
        """Count a request that was sent."""
        self.times_sent += 1

    async def receiving(self, count: int, seconds: float) -> None:
        """Record the bytes that a response needs at first."""
        assert seconds > 0
        self.waited_for.append(count)

    def received(self, count: int) -> None:
        """Record the bytes that have arrived."""
        self.more.append(count)


@dataclass(slots=True)
class ChainRig:
    """A chain of models, the fake service that it calls, and its waits."""

    built: Models
    fake_gemini: FakeGemini
    clock: Clock
    slept: list[float] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    """The attempts of the last generation."""

    async def generate(
        self, prompt: str = "black and white", seconds: float = 60, inputs: FakeInputs | None = None, **options: Any
    ) -> Generated:
        """Generate an image and keep the attempts."""
        self.attempts.clear()
        deadline = self.clock.deadline(seconds)
        return await self.chain.generate(
            inputs or FakeInputs((CUP,)), prompt, Options(**options), deadline, self.attempts.append
        )

    @property
    def chain(self) -> ModelChain:
        """The chain."""
        return self.built.chain

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """The model and the outcome of each attempt of the last generation."""
        return [(attempt.model, attempt.outcome) for attempt in self.attempts]

    @property
    def models(self) -> list[str]:
        """The models of all calls that the service received."""
        return [call.model for call in self.fake_gemini.calls]


async def make(fake_gemini: FakeGemini, **settings: str) -> ChainRig:
    """Build a chain from settings."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    environment = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url, **settings}
    clock = Clock(sleep=sleep)
    return ChainRig(build_models(Settings.read(environment), clock, random.Random(7)), fake_gemini, clock, slept)
