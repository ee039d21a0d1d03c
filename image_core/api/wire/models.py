"""The models that a request may name, and the limits of a request: the answer of `GET /api/models`."""

from datetime import date

from pydantic import Field

from image_core.api.wire.base import Wire
from image_core.models.catalog import AspectRatio, ImageSize


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


class ModelList(Wire):
    """The chain of models, in its order, and the limits of a request."""

    models: list[ModelInfo]
    limits: Limits
