"""Images beside the generated one: uploads, copies of inputs, masks."""

from typing import Annotated

from pydantic import Field

from image_core.api.wire.base import Wire
from image_core.generations import record
from image_core.generations.submit import CheckedInput as DomainCheckedInput
from image_core.images import region
from image_core.models.catalog import ASPECT_RATIOS
from image_core.storage import input_copies
from image_core.storage.naming import api_url

RecordedRatio = Annotated[str, Field(json_schema_extra={"enum": list(ASPECT_RATIOS)})]
"""The aspect ratio in a record. The OpenAPI document lists the choices, but an old record may have another one."""


class Upload(Wire):
    """A stored file."""

    url: str = Field(description="The file's URL, to be used in `images`.")


class InputCopy(Wire):
    """The private copy of one input."""

    name: str = Field(description="The name for `/api/images/{name}`.")
    mime_type: str
    width: int
    height: int
    bytes: int

    @classmethod
    def of(cls, copy: input_copies.InputCopy) -> "InputCopy":
        """Return the wire form."""
        return cls(name=copy.name, mime_type=copy.mime_type, width=copy.width, height=copy.height, bytes=copy.size)


class CheckedInput(Wire):
    """An input of a dry run, as it would be sent to the model."""

    mime_type: str
    width: int
    height: int
    converted: bool = Field(description="Whether its format, size, depth or orientation would be changed.")

    @classmethod
    def of(cls, checked: DomainCheckedInput) -> "CheckedInput":
        """Return the wire form."""
        return cls(mime_type=checked.mime_type, width=checked.width, height=checked.height, converted=checked.converted)


class Crop(Wire):
    """The part of the first image that is sent to the model: around the mask, in an aspect ratio that it makes."""

    x: int = Field(description="The left edge, in pixels of the upright image.")
    y: int = Field(description="The top edge, in pixels of the upright image.")
    width: int
    height: int
    aspect_ratio: RecordedRatio

    @classmethod
    def of(cls, crop: region.Crop) -> "Crop":
        """Return the wire form."""
        box = crop.box
        return cls(x=box.left, y=box.top, width=box.width, height=box.height, aspect_ratio=crop.aspect_ratio)


class Mask(Wire):
    """The mask of an edit, and the part of the image that was sent to the model."""

    url: str = Field(
        description="The mask as a PNG, white where the image was edited. Only its owner can read it, while input "
        "copies are kept."
    )
    crop: Crop

    @classmethod
    def of(cls, edit: record.MaskedEdit) -> "Mask":
        """Return the wire form."""
        return cls(url=api_url(edit.mask.name), crop=Crop.of(edit.inner_crop))
