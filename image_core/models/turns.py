"""The turns of a conversation with a model: what it answered, to be kept, and what is replayed to it later."""

from dataclasses import dataclass

from image_core.images.image import Image

MAX_TURN_BYTES = 40_000_000
"""The longest answer that is kept, as JSON: an image of 4K is up to 35 MB in base64."""


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """An answer as it came: the JSON of its `content`, in pieces that share the memory of the response."""

    pieces: tuple[bytes | memoryview, ...]
    images: int
    """Images in it, drafts included."""
    characters: int
    """Of its text."""

    @property
    def size(self) -> int:
        """Bytes of the JSON."""
        return sum(map(len, self.pieces))


@dataclass(frozen=True, slots=True)
class EarlierTurn:
    """An earlier generation as a model is shown it: the user's images and prompt, and the answer as it came.

    The image of the turn before is not among the user's images: it is in that turn's answer.
    """

    images: tuple[Image, ...]
    prompt: str
    answer: memoryview
    """The JSON of the model's `content`."""
