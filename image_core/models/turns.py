"""The turns of a conversation with a model: what it answered, to be stored, and what is replayed to it later."""

import json
from dataclasses import dataclass

from image_core.images.image import Image

MAX_TURN_BYTES = 40_000_000
"""The longest answer that is kept, as JSON: an image of 4K has up to 35 MB in base64."""


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """An answer as it came: the JSON of its `content`, in pieces that share the memory of the response."""

    pieces: tuple[bytes | memoryview, ...]
    images: int
    """Images in it, drafts included."""
    characters: int
    """Characters of its text."""

    @property
    def size(self) -> int:
        """Bytes of the JSON."""
        return sum(map(len, self.pieces))

    def stored(self, prompt: str) -> bytes:
        """Return the stored form: a line with the prompt that it answers, and the JSON as it came."""
        return b"".join((json.dumps({"prompt": prompt}).encode(), b"\n", *self.pieces))


@dataclass(frozen=True, slots=True)
class EarlierTurn:
    """An earlier generation as a model is shown it: the user's images and prompt, and the answer as it came.

    The image of the turn before is not among the user's images: it is in that turn's answer.
    """

    images: tuple[Image, ...]
    prompt: str
    answer: memoryview
    """The JSON of the model's `content`."""

    @classmethod
    def read(cls, stored: bytes, images: tuple[Image, ...]) -> "EarlierTurn":
        """Read the stored form. The answer shares its memory. Raises ValueError."""
        end = stored.index(b"\n")
        return cls(images, json.loads(stored[:end])["prompt"], memoryview(stored)[end + 1 :])


@dataclass(frozen=True, slots=True)
class ContextSize:
    """What replayed turns add to a request, for its expected cost: turns of `model`."""

    model: str
    turns: int
    images: int
    characters: int
