"""A chain of models whose calls a test scripts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from image_core.clock import Clock, Deadline
from image_core.errors import GeminiKeyMissing, ImageError, ModelError
from image_core.images.image import Image
from image_core.images.region import Shapes
from image_core.models.generated import CANCELED, OK, Attempt, Generated, Options, Usage
from image_core.models.provider import CallInputs
from image_core.models.turns import EarlierTurn, ModelTurn

MODEL = "gemini-3-pro-image"
FEW, FOR_MANY_INPUTS = 3, "for-many-inputs"
"""How many inputs MODEL takes without a name in the request, and the model that takes more."""
USAGE = Usage(560, 1120, 0.135, {"IMAGE": 560}, {"IMAGE": 1120})


@dataclass(slots=True)
class Call:
    """The script of one call: its answer, and the steps at which it waits for an event.

    `error` is raised instead of an image; with `retry` the run makes the next call instead.
    """

    image: Image | None = None
    error: Exception | None = None
    retry: bool = False
    usage: Usage | None = USAGE
    text: str | None = None
    turn: ModelTurn | None = None
    in_context: bool = False
    warnings: tuple[str, ...] = ()
    before_sent: asyncio.Event | None = None
    before_answer: asyncio.Event | None = None
    while_arriving: asyncio.Event | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class FakeModel:
    """Implements the protocols of the chain. Without a script every call makes `image`."""

    def __init__(self, image: Image, clock: Clock) -> None:
        self.image = image
        self.script: list[Call] = []
        self.calls: list[tuple[tuple[Image, ...], str, Options]] = []
        """Inputs, prompt and options of each call."""
        self.has_key = True
        self.refusal: ImageError | None = None
        """Raised by the checks of options and quotas."""
        self.refused: tuple[Options, int] | None = None
        """Options and number of inputs for which alone `refusal` is raised; None: for all."""
        self.seconds: list[float] = []
        """How long each run may call models."""
        self.turns: list[tuple[EarlierTurn, ...]] = []
        """The earlier turns of each call."""
        self._clock = clock

    async def generate(
        self, hold: CallInputs, prompt: str, options: Options, deadline: Deadline, noted: Callable[[Attempt], None]
    ) -> Generated:
        """Make the calls of one run."""
        attempts: list[Attempt] = []
        self.seconds.append(deadline.remaining())

        def note(outcome: str, usage: Usage | None) -> None:
            attempts.append(Attempt(MODEL, outcome, 1000, usage, self._clock.now()))
            noted(attempts[-1])

        while True:
            call = self.script.pop(0) if self.script else Call()
            try:
                await self._call(call, hold, prompt, options)
            except asyncio.CancelledError:
                note(CANCELED, None)
                raise
            if call.error is None:
                note(OK, call.usage)
                image = call.image or self.image
                usage = call.usage or Usage()
                return Generated(
                    image, call.text, MODEL, usage, tuple(attempts), call.warnings, call.turn, call.in_context
                )
            if not isinstance(call.error, ModelError):
                raise call.error
            note(call.error.code, call.usage)
            if not call.retry:
                raise call.error

    async def _call(self, call: Call, hold: CallInputs, prompt: str, options: Options) -> None:
        self.calls.append((await hold.images(), prompt, options))
        self.turns.append(await hold.turns())
        call.begun.set()
        if call.before_sent is not None:
            await call.before_sent.wait()
        hold.sending()
        hold.sent()
        if call.before_answer is not None:
            await call.before_answer.wait()
        if call.while_arriving is not None:
            await hold.receiving(10, 1)
            await call.while_arriving.wait()
            hold.received(10)

    def check_key(self) -> None:
        """Raise GeminiKeyMissing unless `has_key`."""
        if not self.has_key:
            raise GeminiKeyMissing

    def check_options(self, options: Options, inputs: int) -> None:
        """Raise `refusal`, if any."""
        self._refuse(options, inputs)

    def check_quota(self, options: Options, inputs: int) -> None:
        """Raise `refusal`, if any."""
        self._refuse(options, inputs)

    def _refuse(self, options: Options, inputs: int) -> None:
        if self.refusal is not None and self.refused in {None, (options, inputs)}:
            raise self.refusal

    def first(self, options: Options, inputs: int = 0) -> str:
        """Return the model of the request, or the one for so many inputs."""
        return options.model or (MODEL if inputs <= FEW else FOR_MANY_INPUTS)

    def warnings(self, options: Options, inputs: int) -> tuple[str, ...]:
        """Return a warning that says what was asked."""
        return (f"a_warning: {inputs} to {self.first(options, inputs)}",)

    def context_warning(self, model: str, turns_of: str | None) -> str | None:
        """Return a warning unless the turns are of this model."""
        return None if turns_of == model else "context_not_kept: x"

    def shapes(self, options: Options, inputs: int) -> Shapes:
        """Return one shape, which says what was asked."""
        return {options.aspect_ratio or "1:1": (1024, 1024 * inputs)}
