"""Run the two jobs of a masked edit in the sandbox: cut out what a model is to edit, and compose its answer.

`masked_edit_pixels` has the computation.
"""

from dataclasses import asdict, dataclass
from typing import Unpack

from image_core.images.image import Image, Target
from image_core.images.region import Box, Crop, Shapes
from image_core.images.sandbox import ProgramLimits, run_in_sandbox

COMPOSE_CPU_SECONDS = 40
"""Limit of processor time. Composing 48 megapixels takes an eighth of it."""
COMPOSE_WALL_SECONDS = 90.0

ANSWER_BYTES = 40 * 2**20
"""Memory that preparing leaves free for the file of the model's answer: composing needs it beside the same images."""


@dataclass(frozen=True, slots=True)
class PreparedEdit:
    """The crop and the mask of an edit, before the model is called."""

    size: tuple[int, int]
    """Width and height of the upright image, in pixels."""
    crop: Crop
    sent: Image
    """The crop, as the model gets it."""
    mask: Image
    """The mask in its own size: white where the image is edited, else black."""

    @property
    def inner_crop(self) -> Crop:
        """The crop without what lies beyond the image."""
        return Crop(self.crop.box.within(self.size), self.crop.aspect_ratio)


@dataclass(frozen=True, slots=True)
class ComposedEdit:
    """The whole image with the model's answer where the mask allows it.

    `aligned` is false where the answer shows the surroundings of the mask elsewhere, or other ones.
    """

    image: Image
    aligned: bool


async def prepare_in_sandbox(
    data: bytes,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    *,
    mask: bytes,
    shapes: Shapes,
    max_side: int,
    **limits: Unpack[ProgramLimits],
) -> PreparedEdit | None:
    """Check a mask for the image in `data`, choose the crop, and cut it out. None where all of the image is edited.

    `max_side`: the most pixels of a side that are sent to the model. Raises what `run_in_sandbox` does.
    """
    job = {"job": "prepare edit", "shapes": dict(shapes), "maxSide": max_side, "reservedBytes": ANSWER_BYTES}
    facts, images = await run_in_sandbox(job, (data, mask), max_pixels, max_decoded_pixels, memory_bytes, **limits)
    if facts["full"]:
        return None
    sent, edited = images
    return PreparedEdit(tuple(facts["size"]), Crop(Box(*facts["box"]), facts["aspectRatio"]), sent, edited)


async def compose_in_sandbox(
    data: bytes,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    *,
    mask: bytes,
    answer: bytes,
    box: Box,
    target: Target,
    **limits: Unpack[ProgramLimits],
) -> ComposedEdit:
    """Put the model's `answer` for `box` into the image in `data`, where `mask` (of `PreparedEdit`) allows it.

    Raises what `run_in_sandbox` does.
    """
    job = {"job": "compose edit", "box": box.edges, "target": asdict(target)}
    limits = {"cpu_seconds": COMPOSE_CPU_SECONDS, "wall_seconds": COMPOSE_WALL_SECONDS, **limits}
    files = (data, mask, answer)
    facts, (image,) = await run_in_sandbox(job, files, max_pixels, max_decoded_pixels, memory_bytes, **limits)
    return ComposedEdit(image, facts["aligned"])
