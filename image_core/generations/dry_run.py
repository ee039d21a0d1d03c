"""A dry run: what a request would do and cost, with every check that a generation makes and nothing else."""

from dataclasses import dataclass

from image_core.images.region import Crop
from image_core.inputs.loader import LoadedInput


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """An input as the model would get it."""

    mime_type: str
    width: int
    height: int
    converted: bool

    @classmethod
    def of(cls, loaded: LoadedInput) -> "CheckedInput":
        picture = loaded.image
        return cls(picture.mime_type, picture.width, picture.height, loaded.converted)


@dataclass(frozen=True, slots=True)
class DryRun:
    """`left_usd` is what the caller may still spend now, None where there is no budget."""

    model: str
    estimated_usd: float
    inputs: tuple[CheckedInput, ...]
    left_usd: float | None
    warnings: tuple[str, ...]
    crop: Crop | None = None
    """With a mask: the part of the first image that the model would be asked to edit."""
