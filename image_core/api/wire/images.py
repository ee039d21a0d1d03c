"""Images other than the result: uploads, copies of inputs, masks."""

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
"""An aspect ratio out of a record: the document lists the choices, but a record may hold one that no longer exists."""


class Upload(Wire):
    """A stored file."""

    url: str = Field(description="Its address: an entry of `images`.")


class InputCopy(Wire):
    """The private copy of one input."""

    name: str = Field(description="For `/api/images/{name}`.")
    mime_type: str
    width: int
    height: int
    bytes: int

    @classmethod
    def of(cls, copy: input_copies.InputCopy) -> "InputCopy":
        """Return the wire form."""
        return cls(name=copy.name, mime_type=copy.mime_type, width=copy.width, height=copy.height, bytes=copy.size)


class CheckedInput(Wire):
    """An input of a dry run, as the model would get it."""

    mime_type: str
    width: int
    height: int
    converted: bool = Field(description="Whether its format, size, depth or orientation would be changed.")

    @classmethod
    def of(cls, checked: DomainCheckedInput) -> "CheckedInput":
        """Return the wire form."""
        return cls(mime_type=checked.mime_type, width=checked.width, height=checked.height, converted=checked.converted)


class Crop(Wire):
    """The part of the first image that a model is asked to edit: around the mask, in a shape that the model makes."""

    x: int = Field(description="Pixels of the upright image from its left edge.")
    y: int = Field(description="Pixels from its top edge.")
    width: int
    height: int
    aspect_ratio: RecordedRatio

    @classmethod
    def of(cls, crop: region.Crop) -> "Crop":
        """Return the wire form."""
        box = crop.box
        return cls(x=box.left, y=box.top, width=box.width, height=box.height, aspect_ratio=crop.aspect_ratio)


class Mask(Wire):
    """What a masked edit was made with."""

    url: str = Field(
        description="The mask as a PNG, white where the image was edited: for its owner, while copies are kept."
    )
    crop: Crop

    @classmethod
    def of(cls, edit: record.MaskedEdit) -> "Mask":
        """Return the wire form."""
        return cls(url=api_url(edit.mask.name), crop=Crop.of(edit.inner_crop))
