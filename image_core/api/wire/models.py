"""The models that a request may name, and the limits of a request: the answer of `GET /api/models`."""

from datetime import date

from pydantic import Field

from image_core.api.wire.base import Wire
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS
from image_core.models.catalog import AspectRatio, ImageSize
from image_core.settings import Settings


class ModelInfo(Wire):
    """A model that a request may name."""

    id: str
    aspect_ratios: list[AspectRatio]
    image_sizes: list[ImageSize]
    max_input_images: int
    prices: dict[str, float] = Field(
        description="US dollars of an image by size, without inputs, thinking and text; empty where they are not known."
    )
    default: bool = Field(description="Whether it is asked first where a request names none.")
    retires_on: date | None = Field(description="The day on which it is shut down.")
    available: bool = Field(description="`false` while its daily quota is used up, or after it answered 404.")
    expected_seconds: int = Field(description="The recent median of its generations.")


class Limits(Wire):
    """What one request may hold."""

    max_images: int
    max_image_bytes: int
    max_request_bytes: int
    max_image_pixels: int
    max_prompt_characters: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits that the settings give."""
        return cls(
            max_images=settings.max_images,
            max_image_bytes=settings.max_image_bytes,
            max_request_bytes=settings.max_request_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_prompt_characters=MAX_PROMPT_CHARACTERS,
        )


class ModelList(Wire):
    """The chain of models, in its order, and the limits of a request."""

    models: list[ModelInfo]
    limits: Limits
