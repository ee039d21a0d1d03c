"""A generation in answers: as a new image, while it runs, in detail, and in lists."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from image_core.api.wire.attempts import Attempt, Usage
from image_core.api.wire.base import Absent, Time, Wire, absent
from image_core.api.wire.errors import ErrorBody
from image_core.api.wire.images import CheckedInput, Crop, InputCopy, Mask, RecordedRatio
from image_core.generations.reading import stored_name
from image_core.generations.record import Record, Status
from image_core.generations.submit import DryRun as CheckedRun
from image_core.images.image import MIME_TYPES
from image_core.models import generated
from image_core.models.catalog import IMAGE_SIZES
from image_core.storage.naming import api_url, is_generated

THUMBNAIL_WIDTH = 320
"""The width of thumbnails (`thumbnailUrl`), in pixels: one of `handlers.images.WIDTHS`."""


def status_url(record_id: str) -> str:
    """Return the address of a generation's record."""
    return f"/api/generations/{record_id}"


def result_url(record_id: str) -> str:
    """Return the address of a generation's image, which waits for the image while the generation runs."""
    return api_url(record_id)


def thumbnail_url(record: Record) -> str | None:
    """Return the address of a small rendition; None if `/api/images` does not serve the image."""
    if record.status is not Status.SUCCEEDED or record.output_image_url is None:
        return None
    name = stored_name(record)
    return f"{api_url(name)}?w={THUMBNAIL_WIDTH}&format=webp" if is_generated(name) else None


class Options(Wire):
    """The options of a request."""

    model: str | Absent = absent()
    aspect_ratio: RecordedRatio | Absent = absent()
    image_size: Annotated[str, Field(json_schema_extra={"enum": list(IMAGE_SIZES)})] | Absent = absent()
    output_format: Annotated[str, Field(json_schema_extra={"enum": list(MIME_TYPES)})] | Absent = absent()
    output_quality: int | Absent = absent()

    @classmethod
    def of(cls, options: generated.Options) -> "Options":
        """Return the wire form."""
        return cls(
            model=options.model,
            aspect_ratio=options.aspect_ratio,
            image_size=options.image_size,
            output_format=options.output_format,
            output_quality=options.output_quality,
        )


class Ended(Wire):
    """The fields that a finished request's answer and a generation's details have in common."""

    image_url: str | None = Field(description="The image's permanent address.")
    text: str | None = Field(description="The model's text; null if it returned none.")
    id: str = Field(description="The generation's id, for `/api/generations/{id}`.")
    status: Literal["running", "succeeded", "failed", "canceled"]
    thumbnail_url: str | None = Field(
        description=f"The address of a WebP of the image, at most {THUMBNAIL_WIDTH} pixels wide; null if there is "
        "no image."
    )
    model: str | None = Field(description="The model that made the image.")
    mime_type: str | None = Field(description="The type of the image's bytes.", examples=["image/png"])
    width: int | None = Field(description="The image's width in pixels.")
    height: int | None = Field(description="The image's height in pixels.")
    usage: Usage | None
    attempts: list[Attempt] = Field(description="Every call of a model for this generation.")
    warnings: list[str] = Field(description="Each is a code, or a code, a colon and a sentence.")


class WithBase64(Wire):
    """The first field of `Result`."""

    image_base64: str | None = Field(
        description="The image as a data URL; null if `includeBase64` was false.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    )


class Result(Ended, WithBase64):
    """A new image."""

    image_url: str = Field(description="The image's permanent address.")
    status: Literal["succeeded"]
    mime_type: str = Field(description="The type of the image's bytes.", examples=["image/png"])
    width: int = Field(description="The image's width in pixels.")
    height: int = Field(description="The image's height in pixels.")

    @classmethod
    def of(cls, record: Record) -> "Result":
        """Return the answer without the image's bytes."""
        return cls(image_base64=None, **_ended(record))


class Running(Wire):
    """A generation that is still running. `statusUrl` is the address of its state."""

    id: str
    status: Literal["running"]
    status_url: str
    image_url: str = Field(
        description="The address of the image: it answers when the generation has ended, with the image or the error."
    )
    created_at: Time
    expected_seconds: int = Field(
        description="How long generations with this model and size recently took (median), in seconds."
    )

    @classmethod
    def of(cls, record: Record, expected_seconds: int) -> "Running":
        """Return the wire form."""
        return cls(
            id=record.id,
            status="running",
            status_url=status_url(record.id),
            image_url=result_url(record.id),
            created_at=record.created_at,
            expected_seconds=expected_seconds,
        )


class DryRunBudget(Wire):
    """What the caller may still spend."""

    left_usd: float | None = Field(
        description="What is left of the budget that has the least, in US dollars; null if there is no budget."
    )


class DryRun(Wire):
    """What a request would do: everything is checked, nothing is generated or stored."""

    # Without `const`, because generated Python compares a boolean one with text.
    dry_run: bool = Field(description="`true`.")
    status: Literal["checked"] | Absent = absent(
        "Not sent: it is here so that generated types tell the answers apart by `status`."
    )
    model: str = Field(description="The model that would be called first.")
    estimated_cost_usd: float = Field(
        description="The most that one answer of the chain's most expensive model costs, in US dollars, as budgets "
        "count it."
    )
    inputs: list[CheckedInput]
    budget: DryRunBudget
    warnings: list[str]
    crop: Crop | Absent = absent(
        "With a `mask` that is not the whole image: the part of the first image that the model would get."
    )

    @classmethod
    def of(cls, run: CheckedRun) -> "DryRun":
        """Return the wire form."""
        return cls(
            dry_run=True,
            model=run.model,
            estimated_cost_usd=run.estimated_usd,
            inputs=[CheckedInput.of(each) for each in run.inputs],
            budget=DryRunBudget(left_usd=run.left_usd),
            warnings=list(run.warnings),
            crop=None if run.crop is None else Crop.of(run.crop),
        )


class Generation(Ended):
    """A generation, whatever its state."""

    prompt: str
    input_images: list[str] = Field(description="The URL of each input, never base64.")
    inputs: list[InputCopy]
    mask: Mask | Absent = absent("Where a part of the first image was edited.")
    output_image_url: str | None = Field(description="The same as `imageUrl`.")
    created_at: Time
    completed_at: Time | None
    user_id: str
    parent_id: str | None = Field(
        description="The id of the generation whose image was edited (`from`). It may have been deleted since."
    )
    root_id: str | None = Field(
        description="The id of the first generation of the chain; null if the request had no `from`."
    )
    options: Options
    error: ErrorBody | None = Field(
        description="Why the generation failed; its code is `canceled` if the generation was canceled."
    )

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the wire form. Fields that only the server uses are omitted."""
        return cls(
            **_ended(record),
            prompt=record.prompt,
            input_images=list(record.input_images),
            inputs=[InputCopy.of(copy) for copy in record.inputs],
            output_image_url=record.output_image_url,
            created_at=record.created_at,
            completed_at=record.completed_at,
            user_id=record.user_id,
            parent_id=record.parent_id,
            root_id=record.root_id,
            options=Options.of(record.options),
            error=None if record.failure is None else ErrorBody.of(record.failure),
            mask=None if record.edit is None else Mask.of(record.edit),
        )


class GenerationSummary(Generation):
    """A generation in a list, without the fields that can be long."""

    text: SkipJsonSchema[str | None] = Field(None, exclude=True)
    attempts: SkipJsonSchema[list[Attempt]] = Field([], exclude=True)
    inputs: SkipJsonSchema[list[InputCopy]] = Field([], exclude=True)
    mask: SkipJsonSchema[Mask | None] = Field(None, exclude=True)


class GenerationPage(Wire):
    """A page of the history, newest first."""

    items: list[GenerationSummary]
    continuation: str | None = Field(
        description="The `continuation` parameter of the next page; null on the last page."
    )


def _ended(record: Record) -> dict[str, Any]:
    """Return the fields of `Ended`."""
    return {
        "image_url": record.output_image_url,
        "text": record.text,
        "id": record.id,
        "status": record.status.value,
        "thumbnail_url": thumbnail_url(record),
        "model": record.model,
        "mime_type": record.mime_type,
        "width": record.width,
        "height": record.height,
        "usage": Usage.of(record.usage),
        "attempts": [Attempt.of(attempt) for attempt in record.attempts],
        "warnings": list(record.warnings),
    }
