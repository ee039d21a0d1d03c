"""Convert a model's image to the requested format, or compose it into the image that was edited with a mask."""

from dataclasses import replace
from functools import partial
from typing import Protocol

from image_core.auth.user import User
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.limits import RunLimits
from image_core.generations.record import (
    WARNING_MASK_MISALIGNED,
    WARNING_MASK_NOT_APPLIED,
    WARNING_METADATA_LOST,
    MaskedEdit,
    Record,
)
from image_core.images.image import DEFAULT_QUALITY, MIME_TYPES, Image, Target
from image_core.images.masked_edit import ComposedEdit
from image_core.images.metadata import has_provenance
from image_core.models.generated import Generated
from image_core.runtime.memory_budget import GROWTH_SECONDS
from image_core.runtime.offload import offloaded

MAX_ENLARGEMENT = 1.25
"""How many times wider the edited part may be than the image that the model made for it, without a warning."""


class Converter(Protocol):
    """Converts images. Implemented by `converter.SandboxConverter`."""

    async def convert(self, user: User, image: Image, target: Target) -> Image | None:
        """Return the image as `target` says, None where that fails."""
        ...

    async def compose(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, seconds: float
    ) -> ComposedEdit | None:
        """Return the first input with the model's answer in the place of its mask, None where that fails."""
        ...


class Postprocessing:
    """Makes the image that is stored. If that fails, the model's image is kept, with a warning: it was paid for."""

    def __init__(self, converter: Converter, limits: RunLimits) -> None:
        self._converter = converter
        self._compose_seconds = limits.compose_seconds

    async def apply(self, record: Record, generated: Generated, held: HeldInputs) -> Generated:
        """Return `generated` with the image that the request asked for."""
        if record.edit is not None:
            return await self._composed(record, record.edit, generated, held)
        made, wanted = generated.image, record.options.output_format
        if wanted is None or made.mime_type == MIME_TYPES[wanted]:
            return generated
        with held.trace.step("convert"):
            target = Target(None, wanted, record.options.output_quality or DEFAULT_QUALITY)
            converted = await self._converter.convert(record.user, made, target)
            if converted is None:
                kept = f"format_kept: the image could not be converted to {wanted}, and is {made.mime_type}"
                return replace(generated, warnings=(*generated.warnings, kept))
            held.received(len(converted.data))
            lost = await _had_provenance(made)
        warnings = (*generated.warnings, WARNING_METADATA_LOST) if lost else generated.warnings
        return replace(generated, image=converted, warnings=warnings)

    async def _composed(self, record: Record, edit: MaskedEdit, generated: Generated, held: HeldInputs) -> Generated:
        """Return the first input with the model's image in the place of its mask."""
        made, options = generated.image, record.options
        target = Target(None, options.output_format or "png", options.output_quality or DEFAULT_QUALITY)
        with held.trace.step("compose"):
            await held.receiving(edit.edited_bytes + edit.mask.size, GROWTH_SECONDS)
            composed = await self._converter.compose(record, edit, made, target, self._compose_seconds)
            if composed is None:
                return replace(generated, warnings=(*generated.warnings, WARNING_MASK_NOT_APPLIED))
            held.received(len(composed.image.data))
            lost = await _had_provenance(made)
        warnings = list(generated.warnings)
        if edit.crop.box.width > MAX_ENLARGEMENT * made.width:
            enlarged = (
                f"enlarged from {made.width} x {made.height} pixels to {edit.crop.box.width} x {edit.crop.box.height}"
            )
            warnings.append(f"size_reduced: the edited part was {enlarged}; a larger imageSize has more detail")
        if composed.image.mime_type != MIME_TYPES[target.format]:
            warnings.append(
                f"format_changed: the image is too large for {target.format}; it is {composed.image.mime_type}"
            )
        if not composed.aligned:
            warnings.append(WARNING_MASK_MISALIGNED)
        if lost:
            warnings.append(WARNING_METADATA_LOST)
        return replace(generated, image=composed.image, warnings=tuple(warnings))


async def _had_provenance(made: Image) -> bool:
    return await offloaded(len(made.data), partial(has_provenance, made.data, made.mime_type))
