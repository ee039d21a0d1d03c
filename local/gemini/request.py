"""Parse the body of a `generateContent` request."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a turn: text, or an image with its MIME type and bytes."""

    text: str | None = None
    mime_type: str | None = None
    data: bytes | None = None
    thought: bool = False
    signature: bytes | None = None
    """The `thoughtSignature`: None where it is missing, empty where it is not base64."""

    @classmethod
    def read(cls, part: Mapping[str, Any]) -> "Part":
        """Read a part. Names come in either case, as protobuf's JSON takes them.

        Raises KeyError, ValueError, TypeError, AttributeError if it is malformed.
        """
        inline = _field(part, "inlineData", "inline_data")
        signature = _field(part, "thoughtSignature", "thought_signature")
        return cls(
            part.get("text"),
            None if inline is None else _field(inline, "mimeType", "mime_type"),
            None if inline is None else decoded(inline["data"]),
            part.get("thought") is True,
            None if signature is None else _signature(signature),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """One entry of `contents`: what the user or the model says."""

    role: str
    parts: tuple[Part, ...]

    @property
    def images(self) -> tuple[Part, ...]:
        """The parts that are images."""
        return tuple(part for part in self.parts if part.data is not None)

    @property
    def answer(self) -> bytes | None:
        """The image of a model's turn: the last one that is not a thought."""
        shown = [part.data for part in self.parts if part.data is not None and not part.thought]
        return shown[-1] if shown else None


@dataclass(frozen=True, slots=True)
class GenerateContent:
    """A request. `valid` is False where the body is not JSON, or no request."""

    turns: tuple[Turn, ...] = ()
    image_config: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int | None = None
    wants_image: bool = True
    valid: bool = True

    @classmethod
    def read(cls, body: bytes) -> "GenerateContent":
        """Read a body. Any bytes are accepted."""
        try:
            asked = json.loads(body)
            config = asked.get("generationConfig", {})
            return cls(
                tuple(
                    Turn(content.get("role", "user"), tuple(map(Part.read, content["parts"])))
                    for content in asked["contents"]
                ),
                config.get("imageConfig") or {},
                config.get("maxOutputTokens"),
                "IMAGE" in config.get("responseModalities", ["IMAGE"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(valid=False)

    @property
    def inputs(self) -> tuple[Part, ...]:
        """The images of the last turn, which are to be edited."""
        return self.turns[-1].images if self.turns else ()

    @property
    def images(self) -> tuple[Part, ...]:
        """The images of all turns."""
        return tuple(image for turn in self.turns for image in turn.images)

    @property
    def prompt(self) -> str:
        """The text of the last turn."""
        return _text(self.turns[-1:])

    @property
    def text(self) -> str:
        """The text of all turns."""
        return _text(self.turns)

    @property
    def earlier(self) -> tuple[bytes, ...]:
        """The images that the model answered in earlier turns, oldest first."""
        answers = (turn.answer for turn in self.turns if turn.role == "model")
        return tuple(answer for answer in answers if answer is not None)


def decoded(data: str) -> bytes:
    """Base64 in either alphabet, as protobuf's JSON takes it: the SDK writes the URL-safe one. Raises ValueError."""
    return base64.b64decode(data.replace("-", "+").replace("_", "/"), validate=True)


def _field(message: Mapping[str, Any], *names: str) -> Any:
    return next((message[name] for name in names if name in message), None)


def _signature(value: str) -> bytes:
    try:
        return decoded(value)
    except ValueError:
        return b""


def _text(turns: Iterable[Turn]) -> str:
    return " ".join(part.text for turn in turns for part in turn.parts if part.text is not None)
