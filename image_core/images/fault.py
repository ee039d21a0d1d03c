"""Exceptions about an image, for code that does not know the image's position in the request."""

from image_core.errors import InputError


class Fault(Exception):
    """An image cannot be used. `kind` is the error to raise, with the image's position and these `details`."""

    def __init__(self, kind: type[InputError], details: str) -> None:
        super().__init__(details)
        self.kind = kind
        self.details = details


class MaskFault(Fault):
    """A mask cannot be used, as opposed to the image that it belongs to."""


class NeedsMemory(Exception):
    """Decoding an image takes more memory than its process may use."""
