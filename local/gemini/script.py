"""What the stand-in was told to do instead of painting: replies, in their order, and what it has seen."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

Cut = Literal["before", "headers", "body"]


@dataclass(slots=True)
class Scripted:
    """One reply. `body` is JSON, or text as it is; None paints. `model` None means any; `times` how often it is given."""

    status: int = 200
    body: Any = None
    delay: float = 0.0
    """Seconds before the answer."""
    trickle: float = 0.0
    """Seconds over which the body is sent."""
    cut: Cut | None = None
    """Break the connection before any answer, behind its headers, or in the middle of its body."""
    model: str | None = None
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was seen, and what the stand-in billed for it."""

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
    """Of the request's body."""
    max_output_tokens: int | None = None


class Script:
    """The replies that are left. None are: the stand-in paints."""

    def __init__(self) -> None:
        self._left: deque[Scripted] = deque()

    def add(self, *replies: Scripted) -> None:
        self._left.extend(replies)

    def clear(self) -> None:
        self._left.clear()

    def next(self, model: str) -> Scripted:
        """The first reply that is meant for `model`, one time less."""
        for reply in self._left:
            if reply.model in {None, model}:
                reply.times -= 1
                if reply.times <= 0:
                    self._left.remove(reply)
                return reply
        return Scripted()


def problem(status: int, name: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """An error body as Google's services write it (google.rpc.Status)."""
    return {"error": {"code": status, "message": message, "status": name, "details": list(details)}}


def overloaded() -> Scripted:
    return Scripted(503, problem(503, "UNAVAILABLE", "The model is overloaded. Please try again later."))


def rate_limited(seconds: float | None = None) -> Scripted:
    info = (
        []
        if seconds is None
        else [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}]
    )
    return Scripted(429, problem(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", *info))


def finished(reason: str | None, *parts: dict[str, Any], usage: dict[str, Any] | None = None) -> Scripted:
    """A 200 with these parts and this finish reason."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": "stand-in"}
    if usage is not None:
        body["usageMetadata"] = usage
    return Scripted(200, body)
