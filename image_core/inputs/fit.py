"""Keep the images of a request within the size that a model accepts in one call."""

from collections.abc import Awaitable, Callable, Sequence

from image_core.errors import ImagesTooLarge
from image_core.images.image import Image

MAX_INLINE_BYTES = 100_000_000
"""Maximum size of a request to the Gemini API with inline data (ai.google.dev/gemini-api/docs/file-input-methods)."""

RESERVED_BYTES = 500_000
"""The part of it for the prompt and the JSON around the images."""

SIDES = (2048, 1024)
"""Longest sides in pixels, in the order in which they are tried. Models use at most 1120 tokens for an input image."""

Shrink = Callable[[int, Image, int], Awaitable[Image]]
"""Scale the image with this index down to a longest side in pixels. Raises InputError, Busy."""


def encoded_length(size: int) -> int:
    """Return the length of `size` bytes in base64."""
    return 4 * -(-size // 3)


def encoded_bytes(images: Sequence[Image]) -> int:
    """Return the size of the images in a request: their length in base64."""
    return sum(encoded_length(len(image.data)) for image in images)


async def fitted(
    images: Sequence[Image], shrink: Shrink, most: int = MAX_INLINE_BYTES - RESERVED_BYTES
) -> tuple[Image, ...]:
    """Return the images, the largest of them scaled down until all fit. Raises ImagesTooLarge."""
    fit = list(images)
    for side in SIDES:
        for index in sorted(range(len(fit)), key=lambda index: len(fit[index].data), reverse=True):
            if encoded_bytes(fit) <= most:
                return tuple(fit)
            before = fit[index]
            if max(before.width, before.height) <= side:
                continue
            after = await shrink(index, before, side)
            if len(after.data) < len(before.data):
                # The same image may occur several times.
                fit = [after if each is before else each for each in fit]
    if encoded_bytes(fit) > most:
        check_fit(images, most)
    return tuple(fit)


def check_fit(images: Sequence[Image], most: int) -> None:
    """Raise ImagesTooLarge where the images have more than `most` bytes together in a request."""
    if (size := encoded_bytes(images)) > most:
        raise ImagesTooLarge(
            f"together they have {size:,} bytes in a request to the model, which takes {most:,}; "
            "send fewer or smaller images"
        )
