"""The replies that a test scripts instead of painted images, and the calls that the fake Gemini has answered."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from local.gemini.signatures import CORRUPTED

Cut = Literal["before", "headers", "body"]


@dataclass(slots=True)
class Scripted:
    """A reply that a test prescribes, `times` times. `body` is JSON, or text that is sent unchanged; None: an image."""

    status: int = 200
    body: Any = None
    delay: float = 0.0
    """Seconds before the answer."""
    trickle: float = 0.0
    """Seconds over which the body is sent."""
    cut: Cut | None = None
    """Break the connection before any answer, after its headers, or in the middle of its body."""
    shift: tuple[int, int] = (0, 0)
    """The shift of the painted image to the right and down, in pixels."""
    model: str | None = None
    """The model to whose calls it applies; None: to calls of any model."""
    replays: bool | None = None
    """Whether it applies to calls that replay earlier turns (True), to other calls (False) or to both (None)."""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and what was billed for it. `inputs` is the number of images in its last turn."""

    model: str
    at: float
    status: int
    prompt: str
    inputs: int
    billed_usd: float
    timeout: str | None
    """The `X-Server-Timeout` header: seconds."""
    image_config: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    """Length of the request's body."""
    max_output_tokens: int | None = None
    turns: int = 0
    """Earlier turns of the model that it replays."""


class Script:
    """The replies that are still to be given. If there is none, an image is painted."""

    def __init__(self) -> None:
        self._left: deque[Scripted] = deque()

    def add(self, *replies: Scripted) -> None:
        """Append replies to those that are left."""
        self._left.extend(replies)

    def clear(self) -> None:
        """Remove the replies that are left."""
        self._left.clear()

    def next(self, model: str, *, replays: bool = False) -> Scripted:
        """Return the next reply for a call of `model`, and remove it after its last use.

        `replays`: whether the call replays earlier turns.
        """
        for reply in self._left:
            if reply.model in {None, model} and reply.replays in {None, replays}:
                reply.times -= 1
                if reply.times <= 0:
                    self._left.remove(reply)
                return reply
        return Scripted()


def problem(status: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """Return an error body as Google's services write it (google.rpc.Status)."""
    return {"error": {"code": status, "message": message, "status": name, "details": list(details)}}


def overloaded() -> Scripted:
    """Return the refusal of a model that is overloaded."""
    return Scripted(503, problem(503, "UNAVAILABLE", "The model is overloaded. Please try again later."))


def rate_limited(seconds: float | None = None) -> Scripted:
    """Return the refusal of a quota, with the seconds after which to try again."""
    info = (
        []
        if seconds is None
        else [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}]
    )
    return Scripted(429, problem(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", *info))


def expired_signature() -> Scripted:
    """Return the refusal of a replayed turn that is as it was, because its signature has expired."""
    return Scripted(400, problem(400, "INVALID_ARGUMENT", CORRUPTED), replays=True)


def finished(reason: str | None, *parts: dict[str, Any], usage: dict[str, Any] | None = None) -> Scripted:
    """Return a 200 with these parts and this finish reason."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": "fake"}
    if usage is not None:
        body["usageMetadata"] = usage
    return Scripted(200, body)
