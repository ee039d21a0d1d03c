"""All images of a request together, within what a model takes in one call."""

from collections.abc import Awaitable, Callable, Sequence

from image_core.errors import ImagesTooLarge
from image_core.images.image import Image

MAX_INLINE_BYTES = 100_000_000
"""Of one request to the Gemini API with images in it (ai.google.dev/gemini-api/docs/file-input-methods)."""

RESERVED_BYTES = 500_000
"""Of that, for the prompt and the JSON around the images."""

SIDES = (2048, 1024)
"""Pixels of the longest side, in the order in which they are tried: models see an image in 1120 tokens at most."""

Shrink = Callable[[int, Image, int], Awaitable[Image]]
"""Makes the image at a place smaller, to at most so many pixels on its longest side. Raises InputError, Busy."""


def encoded_bytes(pictures: Sequence[Image]) -> int:
    """Their length in a request, as base64."""
    return sum(4 * -(-len(picture.data) // 3) for picture in pictures)


async def fitted(
    pictures: Sequence[Image], shrink: Shrink, most: int = MAX_INLINE_BYTES - RESERVED_BYTES
) -> tuple[Image, ...]:
    """The images as they are where they fit; else the largest are made smaller until they do. Raises ImagesTooLarge."""
    fit = list(pictures)
    for side in SIDES:
        for index in sorted(range(len(fit)), key=lambda index: len(fit[index].data), reverse=True):
            if encoded_bytes(fit) <= most:
                return tuple(fit)
            before = fit[index]
            if max(before.width, before.height) <= side:
                continue
            after = await shrink(index, before, side)
            if len(after.data) < len(before.data):
                # The same image may be there several times.
                fit = [after if each is before else each for each in fit]
    if encoded_bytes(fit) > most:
        check_fit(pictures, most)
    return tuple(fit)


def check_fit(pictures: Sequence[Image], most: int) -> None:
    """Raise ImagesTooLarge where the images have more than `most` bytes together in a request."""
    if (size := encoded_bytes(pictures)) > most:
        raise ImagesTooLarge(
            f"together they have {size:,} bytes in a request to the model, which takes {most:,}; "
            "send fewer or smaller images"
        )
