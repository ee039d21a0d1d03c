"""What is wrong with one of the images."""

from typing import Any, ClassVar

from image_core.errors.base import ImageError


class InputError(ImageError):
    """One of the images cannot be used. `index` is its place in `images`, from 0."""

    status = 400
    sentence: ClassVar[str] = "cannot be used"

    def __init__(self, index: int, details: str | None = None) -> None:
        super().__init__(details, message=f"Image {index + 1} {self.sentence}")
        self.index = index

    def fields(self) -> dict[str, Any]:
        return {"imageIndex": self.index}


class InvalidImage(InputError):
    code = "invalid_image"
    sentence = "is not an image that can be read"


class ImageFetchFailed(InputError):
    code = "image_fetch_failed"
    sentence = "could not be fetched"


class UrlNotAllowed(InputError):
    code = "url_not_allowed"
    sentence = "has an address that is not allowed"


class ImageTooLarge(InputError):
    """Over the byte or pixel limit; `details` has the limit."""

    status = 413
    code = "image_too_large"
    sentence = "is too large"


class UnsupportedImage(InputError):
    """A kind that the model does not take and that we do not convert."""

    status = 415
    code = "unsupported_media_type"
    sentence = "is of a kind that is not supported"
