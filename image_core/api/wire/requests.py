"""The body of `POST /api/image`: parse it, and report errors by field."""

import codecs
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError
from pydantic.alias_generators import to_camel

from image_core.api.json_limits import NotJson, TooComplex, measure
from image_core.api.wire.base import as_published
from image_core.errors import InvalidJson, InvalidRequest, NoImages, NoPrompt
from image_core.generations.request import GenerationRequest
from image_core.images.image import DEFAULT_QUALITY, OutputFormat
from image_core.models.catalog import AspectRatio, ImageSize
from image_core.models.generated import Options

MAX_PROMPT_CHARACTERS = 32_000


def _absent(value: Any) -> Any:
    return [] if value is None else value


def _blank(value: Any) -> Any:
    return "" if value is None else value


def _yes(value: Any) -> Any:
    return True if value is None else value


def _no(value: Any) -> Any:
    return False if value is None else value


def _unset(value: Any) -> Any:
    return None if value == "" else value


def _chosen(value: Any) -> Any:
    """Return None for the values by which the original front end says that nothing was chosen."""
    return None if value in ("", "auto") else value


OPEN: dict[str, Any] = {"unevaluatedProperties": {}}
"""Added to schemas that describe only some fields: without it, linters assume that other fields are forbidden."""


def _images_or_from(schema: dict[str, Any]) -> None:
    """Add to the schema that `images` may be empty only if `from` is there. Client generators ignore `if`."""
    as_published(schema)
    schema["if"] = {"required": ["from"], "properties": {"from": {"type": "string", "minLength": 1}}} | OPEN
    schema["else"] = {"required": ["images"], "properties": {"images": {"minItems": 1}}} | OPEN


class GenerateRequest(BaseModel):
    """The body of `POST /api/image`. Unknown fields are ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        json_schema_extra=_images_or_from,
    )

    # These two have defaults because a missing one has its own error message.
    images: Annotated[tuple[str, ...], Field(strict=False), FailFast(), BeforeValidator(_absent)] = Field(
        (),
        description="Data URLs, bare base64, URLs of this API's images, or other http(s) URLs, in order. "
        "With `from`, its image comes before them, and the list may be empty.",
    )
    prompt: Annotated[str, BeforeValidator(_blank)] = Field(
        "",
        max_length=MAX_PROMPT_CHARACTERS,
        description="What to generate from the images. Not blank.",
        json_schema_extra={"x-required": True, "minLength": 1, "pattern": r"\S"},
    )
    aspect_ratio: Annotated[AspectRatio | None, BeforeValidator(_chosen)] = Field(
        None, description="The shape of the new image. An empty string and `auto` count as absent."
    )
    image_size: Annotated[ImageSize | None, BeforeValidator(_chosen)] = Field(
        None, description="The size of the new image. An empty string and `auto` count as absent."
    )
    model: str | None = Field(
        None,
        max_length=200,
        description="The model that is called first: one of the configured models, or a retired name of one.",
    )
    from_id: Annotated[str | None, BeforeValidator(_unset)] = Field(
        None,
        alias="from",
        max_length=255,
        description="The `id` of an earlier generation of the caller. Its image becomes the first input.",
    )
    mask: Annotated[str | None, BeforeValidator(_unset)] = Field(
        None,
        description="Which part of the first image is edited: an image of its shape, in any of the forms of `images`. "
        "Where it has transparency, the transparent pixels are edited, otherwise the white ones. All other pixels "
        "stay unchanged. The new image has the size of the first one, so `aspectRatio` must be absent; without "
        "`outputFormat` it is a PNG. An empty string counts as absent.",
    )
    output_format: Annotated[OutputFormat | None, BeforeValidator(_chosen)] = Field(
        None,
        description="The format of the new image; if absent, the model's. An empty string and `auto` count as absent.",
    )
    output_quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description=f"The quality of `jpeg` and `webp`; {DEFAULT_QUALITY} if absent."
    )
    dry_run: Annotated[bool, BeforeValidator(_no, json_schema_input_type=bool | None)] = Field(
        default=False, description="With `true`, everything is checked and nothing is generated: see `DryRun`."
    )
    include_base64: Annotated[bool, BeforeValidator(_yes, json_schema_input_type=bool | None)] = Field(
        default=True, description="With `false`, `imageBase64` is null, for callers that need only the URL."
    )

    def to_domain(self) -> GenerationRequest:
        """Return the request without the fields that concern only the answer."""
        options = Options(self.model, self.aspect_ratio, self.image_size, self.output_format, self.output_quality)
        return GenerationRequest(self.images, self.prompt, options, self.from_id, self.mask)

    @classmethod
    def parse(cls, body: bytes, max_images: int) -> "GenerateRequest":
        """Parse a body.

        Raises InvalidJson, InvalidRequest with the field, NoImages, NoPrompt. A missing field is reported before a long
        one.
        """
        try:
            text = body.removeprefix(codecs.BOM_UTF8)
            measure(text)
            request = cls.model_validate_json(text)
        except TooComplex as error:
            raise InvalidRequest(f"The body is too complex: {error}") from None
        except NotJson:
            raise InvalidJson("The body must be one JSON object in UTF-8") from None
        except ValidationError as error:
            raise _explained(error) from None
        count = len(request.images) + (request.from_id is not None)
        if not count:
            raise NoImages(field="images")
        if not request.prompt.strip():
            raise NoPrompt(field="prompt")
        if request.mask is not None and request.aspect_ratio is not None:
            raise InvalidRequest("With a mask the new image has the shape of the first one", field="aspectRatio")
        if count > max_images:
            with_from = "" if request.from_id is None else ", that of `from` included"
            raise InvalidRequest(f"At most {max_images} images are taken, not {count}{with_from}", field="images")
        return request


def _explained(error: ValidationError) -> InvalidRequest:
    fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] == "json_invalid":
        return InvalidJson("The body must be one JSON object in UTF-8")
    if not fault["loc"]:
        return InvalidRequest("The body must be a JSON object")
    # For a value that is none of the choices, pydantic's message lists the choices.
    field = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in fault["loc"])
    return InvalidRequest(fault["msg"], field=field)
