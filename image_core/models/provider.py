"""The protocol of a provider of image models: what the chain needs of it. `gemini` implements it.

A call takes the inputs of a generation and returns a reply, or raises one of the errors below, which say what the chain
needs to decide whether to try again, to ask another model, or to give up.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from image_core.images.image import Image
from image_core.models.generated import Usage
from image_core.models.turns import EarlierTurn, ModelTurn

MAX_SHOWN_CHARACTERS = 16_000
"""Maximum length of a model's text that is shown to the caller in place of an image."""


class CallFailed(Exception):
    """The service did not answer with a reply.

    `status` is the HTTP status; None where there was none: with `lost` the connection broke, else the answer could not
    be parsed. `name` is the service's name of the error (google.rpc.Code: `INVALID_ARGUMENT`, …), which contains
    nothing of the request.
    """

    def __init__(
        self,
        status: int | None,
        *,
        name: str = "",
        lost: bool = False,
        key_refused: bool = False,
        retry_seconds: float | None = None,
        day_quota_used: bool = False,
        image_unreadable: bool = False,
        names_model: bool = False,
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.name = name
        self.lost = lost
        self.key_refused = key_refused
        self.retry_seconds = retry_seconds
        """Seconds to wait before another call, as the service says."""
        self.day_quota_used = day_quota_used
        """The quota of the day is used up, or there is none: no wait before the reset helps."""
        self.image_unreadable = image_unreadable
        """The service could not decode one of the input images."""
        self.request_refused = (
            status == HTTPStatus.BAD_REQUEST
            and not (key_refused or image_unreadable)
            and name in {"", "INVALID_ARGUMENT"}
        )
        """The error is about the contents of the request, not about the account, the key or an image."""
        self.names_model = names_model
        """The message names a model: it is the provider's, not that of a gateway without such a route."""


class TurnsRefused(Exception):
    """The service refuses the earlier turns, for example because a signature has expired. The call is not billed."""


@dataclass(frozen=True, slots=True)
class Call:
    """The parameters of a call beside the images. `in_context`: replay the earlier turns if they can be read."""

    model: str
    prompt: str
    aspect_ratio: str | None = None
    image_size: str | None = None
    in_context: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a model."""

    image: Image | None
    text: str | None
    """The model's text beside the image, or instead of it."""
    finish_reason: str | None
    """Why there is no image, in the service's words."""
    refused: bool
    """There is no image, and the same request would be refused again."""
    usage: Usage | None
    """None where the service counted nothing."""
    advice: str = ""
    """Advice for a person when there is no image."""
    message: str | None = None
    """The service's explanation of an answer without an image."""
    turn: ModelTurn | None = None
    """The answer in the form in which it can be replayed when its image is edited."""
    in_context: bool = False
    """Whether the model received the earlier turns."""
    account_limited: bool = False
    """The service answers nothing to this account, whatever the request."""

    @property
    def shown_text(self) -> str | None:
        """The texts of the model and the service, bounded, for an answer without an image."""
        texts = [part for part in ((self.text or "")[:MAX_SHOWN_CHARACTERS], self.message) if part]
        return "\n".join(texts) or None


class CallInputs(Protocol):
    """The inputs of a generation and the memory for its answer.

    The inputs are released once they are sent, while the model works, and read again for another attempt.
    """

    @property
    def continues(self) -> bool:
        """Whether the first input is the image of an earlier generation."""
        ...

    @property
    def turns_of(self) -> str | None:
        """The model that made the earlier turns; None where there are none that can be replayed."""
        ...

    async def turns(self) -> tuple[EarlierTurn, ...]:
        """Return the earlier turns, oldest first; none where they cannot be read any more."""
        ...

    async def images(self) -> tuple[Image, ...]:
        """Return the inputs in order, from memory or read again. Raises ImageError."""
        ...

    def sending(self) -> None:
        """Note that the request is about to be sent: from now on the call may be billed."""
        ...

    def sent(self) -> None:
        """Note that the inputs are sent completely, and release them: only another attempt needs them again."""
        ...

    async def receiving(self, count: int, seconds: float) -> None:
        """Wait for memory for an answer of about `count` bytes, for at most `seconds`."""
        ...

    def received(self, count: int) -> None:
        """Count `count` bytes of the answer beyond those that were waited for."""
        ...


class Provider(Protocol):
    """A service with image models."""

    def check_configured(self) -> None:
        """Raise Misconfigured where no model can be called, for example without a key."""
        ...

    async def generate(self, call: Call, inputs: CallInputs, seconds: float) -> Reply:
        """Call a model once, for at most `seconds`. It may be billed as soon as `inputs.sending` was called.

        Raises CallFailed, TurnsRefused, TimeoutError, and the errors of reading the inputs again.
        """
        ...

    async def describe(self, model: str) -> None:
        """Check that the model exists, with a call that is free. Raises CallFailed, TimeoutError."""
        ...

    async def smallest_call(self, model: str) -> None:
        """Make the cheapest call: one token of text, no image. Raises CallFailed, TimeoutError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
