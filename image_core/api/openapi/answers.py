"""What is answered, as pydantic models: the counterparts of `schemas.GenerateRequest`. The names are the document's.

The answers are put together elsewhere, from records and errors; the tests hold every answer that they see to these.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from image_core.api.requests import as_published
from image_core.errors import STATUS_BY_CODE
from image_core.images.image import OutputFormat
from image_core.models.catalog import AspectRatio, ImageSize

Absent = SkipJsonSchema[None]
"""A field that is left out where there is nothing to say, and never null."""


THUMBNAIL = "The address of a WebP of the image, at most 320 pixels wide; null where there is no image."


class Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, json_schema_extra=as_published)


class Usage(Wire):
    """What the service counted, of all attempts together."""

    input_tokens: int | None = Field(description="Null where the service counted nothing.")
    output_tokens: int | None
    cost_usd: float | None = Field(description="US dollars; null where the model's price is not known.")
    input_by_modality: dict[str, int] | Absent = Field(None, description="Tokens by the service's names.")
    output_by_modality: dict[str, int] | Absent = None


class Attempt(Wire):
    """One call of a model."""

    model: str
    outcome: str = Field(description="`ok`, or why there was no picture.", examples=["ok", "model_unavailable"])
    duration_ms: int
    usage: Usage | Absent = None
    started_at: str | Absent = None


class Result(Wire):
    """A new image."""

    image_base64: str | None = Field(
        description="A data URL of the image; null where `includeBase64` was false.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    )
    image_url: str = Field(description="The image's permanent address.")
    thumbnail_url: str | None = Field(description=THUMBNAIL)
    text: str | None = Field(description="What the model said.")
    id: str = Field(description="Of the generation, for `/api/generations/{id}`.")
    status: Literal["succeeded"]
    model: str | None = Field(description="The model that made it.")
    mime_type: str = Field(description="What the bytes are.", examples=["image/png"])
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    usage: Usage | None
    attempts: list[Attempt] = Field(description="Every call that was made for it.")
    warnings: list[str] = Field(description="A code, sometimes with a sentence after a colon.")


class Running(Wire):
    """Still running: `statusUrl` says how it stands."""

    id: str
    status: Literal["running"]
    status_url: str
    image_url: str = Field(
        description="Answers with the image as soon as there is one, or with the generation's error."
    )
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    expected_seconds: int = Field(description="The recent median for this model and size.")


class CheckedInput(Wire):
    """An input of a dry run, as the model would get it."""

    mime_type: str
    width: int
    height: int
    converted: bool = Field(description="Whether it was written in another kind, size, depth or orientation.")


class DryRunBudget(Wire):
    """What the caller may still spend."""

    left_usd: float | None = Field(description="US dollars, the smallest of all budgets; null where there is none.")


class Crop(Wire):
    """The part of the first image that a model is asked to edit: around the mask, in a shape that the model makes."""

    x: int = Field(description="Pixels of the upright image from its left edge.")
    y: int = Field(description="Pixels from its top edge.")
    width: int
    height: int
    aspect_ratio: AspectRatio


class Mask(Wire):
    """What a masked edit was made with."""

    url: str = Field(
        description="The mask as a PNG, white where the image was edited: for its owner, while copies are kept."
    )
    crop: Crop


class DryRun(Wire):
    """What a request would do: everything is checked, and nothing is generated or kept."""

    # Without `const`, because generated Python compares a boolean one with text.
    dry_run: bool = Field(description="`true`.")
    status: Literal["checked"] | Absent = Field(
        None, description="Not sent: it is here so that generated types tell the answers apart by `status`."
    )
    model: str = Field(description="The model that would be asked first.")
    estimated_cost_usd: float = Field(
        description="The most that one answer of the dearest model of the chain costs, as budgets count it."
    )
    inputs: list[CheckedInput]
    budget: DryRunBudget
    crop: Crop | Absent = Field(
        None,
        description="With a `mask` that is not the whole image: the part of the first image that the model would get.",
    )
    warnings: list[str]


def _one_of(schema: dict[str, Any]) -> None:
    """The schemas of a union exclude each other, which pydantic does not see without a discriminator."""
    schema["oneOf"] = schema.pop("anyOf")


class GenerateAnswer(RootModel[Result | Running | DryRun]):
    """The new image (`status` is `succeeded`), a generation that is still running (`running`), or what a dry run found (none).

    Both statuses have this schema, because many generated clients know one schema for all of an operation's successes.
    """

    # No `discriminator`: every schema would have to require `status`, which a dry run does not have.
    model_config = ConfigDict(json_schema_extra=_one_of)


class ErrorBody(Wire):
    """The body of every error."""

    error: str = Field(description="For people.")
    code: str = Field(description="For programs.", json_schema_extra={"enum": [*sorted(STATUS_BY_CODE)]})
    retryable: bool = Field(description="Whether the same request can succeed later.")
    details: str | Absent = Field(None, description="More, for people.")
    id: str | Absent = Field(None, description="Of the generation, where there is a record of it.")
    field: str | Absent = Field(None, description="The part of the request that is wrong.")
    image_index: int | Absent = Field(None, description="The image that is wrong, from 0.")
    text: str | None = Field(None, description="What the model said instead of making a picture.")
    finish_reason: str | None = Field(None, description="Why it stopped, in the service's word.")
    usage: Usage | None = Field(
        None, description="Of a canceled generation: what the service counted; null where nothing is known."
    )
    daily_usd: float | Absent = Field(None, description="The budget of a day, in US dollars.")
    monthly_usd: float | Absent = Field(
        None, description="The budget of a month, in US dollars, where that is used up."
    )
    spent_usd: float | Absent = Field(None, description="What was spent of it.")
    running_usd: float | Absent = Field(None, description="What is running now is expected to cost.")
    resets_at: str | Absent = Field(None, description="When the next day or month begins.")


class Options(Wire):
    """What was asked for beside images and prompt."""

    model: str | Absent = None
    aspect_ratio: AspectRatio | Absent = None
    image_size: ImageSize | Absent = None
    output_format: OutputFormat | Absent = None
    output_quality: int | Absent = None


class InputCopy(Wire):
    """The private copy of one input."""

    name: str = Field(description="For `/api/images/{name}`.")
    mime_type: str
    width: int
    height: int
    bytes: int


class GenerationSummary(Wire):
    """A generation as the history lists it."""

    id: str
    status: Literal["running", "succeeded", "failed", "canceled"]
    prompt: str
    input_images: list[str] = Field(description="An address for each input, never base64.")
    image_url: str | None
    output_image_url: str | None = Field(description="The same as `imageUrl`.")
    thumbnail_url: str | None = Field(description=THUMBNAIL)
    model: str | None
    mime_type: str | None
    width: int | None
    height: int | None
    usage: Usage | None
    options: Options
    error: ErrorBody | None = Field(description="Why it failed, where it did; `canceled` where it was canceled.")
    warnings: list[str]
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    completed_at: str | None
    user_id: str
    parent_id: str | None = Field(description="The generation that it edits (`from`), which may be deleted since.")
    root_id: str | None = Field(description="The first generation of its chain; null where it began without `from`.")


class Generation(GenerationSummary):
    """A generation, whatever its state."""

    text: str | None
    attempts: list[Attempt]
    inputs: list[InputCopy]
    mask: Mask | Absent = Field(None, description="Where a part of the first image was edited.")


class GenerationPage(Wire):
    """A page of the history, newest first."""

    items: list[GenerationSummary]
    continuation: str | None = Field(description="For the next page; null on the last.")


class Upload(Wire):
    """A stored file."""

    url: str = Field(description="Its address: an entry of `images`.")


class ModelSpending(Wire):
    """What one model cost."""

    model: str
    images: int
    calls: int
    cost_usd: float
    unpriced_calls: int
    estimated_usd: float


class Spending(Wire):
    """What was spent since a moment."""

    since: str = Field(json_schema_extra={"format": "date-time"})
    images: int = Field(description="Images that were made.")
    calls: int = Field(description="Calls of a model, those without a picture too.")
    cost_usd: float
    unpriced_calls: int = Field(
        description="Calls whose bill is not known (of a model without a price, given up, or lost with their process); not in `costUsd`."
    )
    estimated_usd: float = Field(description="What budgets count for those calls.")
    by_model: list[ModelSpending]


class Budget(Wire):
    """What may be spent."""

    daily_usd: float | None = Field(description="In a day; null where only the month has a budget.")
    running_usd: float = Field(description="What is running now is expected to cost.")
    remaining_usd: float = Field(description="What is left: of the day or of the month, whichever is less.")
    resets_at: str = Field(
        json_schema_extra={"format": "date-time"}, description="When the budget or the quota begins again."
    )
    monthly_usd: float | Absent = Field(None, description="In a month.")
    monthly_remaining_usd: float | Absent = Field(None, description="What is left of the month's.")
    month_resets_at: str | Absent = Field(
        None, json_schema_extra={"format": "date-time"}, description="When the next month begins."
    )


class UsageReport(Wire):
    """What the caller has spent."""

    currency: Literal["USD"]
    today: Spending
    month: Spending
    budget: Budget | None


class Dependency(Wire):
    """How one dependency stands."""

    status: Literal["ok", "degraded", "unknown", "down"] = Field(
        description="`degraded`: it works, but not at its best. `unknown`: it cannot be told without a generation."
    )
    latency_ms: int
    code: str | Absent = Field(None, description="Why it is down.")
    containers: dict[str, str] | Absent = Field(
        None, description="Of database and storage: each container, `ok` or `missing`."
    )
    mode: str | Absent = Field(None, description="Of the session: how it is verified.")
    models: dict[str, str] | Absent = Field(None, description="Of the model: each of the chain, `ok` or why not.")
    retired: dict[str, str] | Absent = Field(None, description="Models that are gone, and since when.")
    retiring: dict[str, str] | Absent = Field(
        None, description="Configured names that are shut down, or will be within 30 days, and when."
    )


class ModelInfo(Wire):
    """A model that a request may name."""

    id: str
    aspect_ratios: list[AspectRatio]
    image_sizes: list[ImageSize]
    max_input_images: int
    prices: dict[str, float] = Field(
        description="US dollars of an image by size, without inputs, thoughts and words; empty where they are not known."
    )
    default: bool = Field(description="Whether it is asked first where a request names none.")
    retires_on: str | None = Field(
        description="The day on which it is shut down.", json_schema_extra={"format": "date"}
    )
    available: bool = Field(description="`false` while its quota of the day is used up, or after it answered 404.")
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


class Health(Wire):
    """Whether the API works."""

    status: Literal["ok", "degraded", "down"]
    version: str
    dependencies: dict[str, Dependency] | Absent = Field(None, description="With `deep=1`.")
