"""The turns of a conversation with a model: its answers, which are stored, and the turns that are replayed later."""

import json
from dataclasses import dataclass

from image_core.images.image import Image

MAX_TURN_BYTES = 40_000_000
"""Maximum size of an answer that is kept, as JSON: a 4K image has up to 35 MB in base64."""


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """An answer as received: the JSON of its `content`, in pieces that share the memory of the response."""

    pieces: tuple[bytes | memoryview, ...]
    images: int
    """Number of images in it, drafts included."""
    characters: int
    """Length of its text, in characters."""

    @property
    def size(self) -> int:
        """Length of the JSON, in bytes."""
        return sum(map(len, self.pieces))

    def stored(self, prompt: str) -> bytes:
        """Return the stored form: a line with the prompt that it answers, and the JSON as received."""
        return b"".join((json.dumps({"prompt": prompt}).encode(), b"\n", *self.pieces))


@dataclass(frozen=True, slots=True)
class EarlierTurn:
    """An earlier generation, to be replayed: the user's images and prompt, and the model's answer as received.

    The image of the preceding turn is not among the user's images: it is in that turn's answer.
    """

    images: tuple[Image, ...]
    prompt: str
    answer: memoryview
    """The JSON of the model's `content`."""

    @classmethod
    def read(cls, stored: bytes, images: tuple[Image, ...]) -> "EarlierTurn":
        """Read the stored form. The answer shares its memory. Raises ValueError."""
        end = stored.index(b"\n")
        match json.loads(stored[:end]):
            case {"prompt": str(prompt)}:
                return cls(images, prompt, memoryview(stored)[end + 1 :])
        raise ValueError


@dataclass(frozen=True, slots=True)
class ContextSize:
    """The size of replayed turns of `model`, for the expected cost of a request."""

    model: str
    turns: int
    images: int
    characters: int
