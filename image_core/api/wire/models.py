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
        description="The price of an image in US dollars by size, without inputs, thinking and text; empty if it is "
        "not known."
    )
    default: bool = Field(description="Whether it is called first if a request names no model.")
    retires_on: date | None = Field(description="The day on which the service shuts the model down.")
    available: bool = Field(
        description="False while the model's daily quota is used up, or after the service answered 404."
    )
    expected_seconds: int = Field(description="How long its generations recently took (median), in seconds.")


class Limits(Wire):
    """The limits of one request."""

    max_images: int
    max_image_bytes: int
    max_request_bytes: int
    max_image_pixels: int
    max_prompt_characters: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits in the settings."""
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
