"""Why one input cannot be used, before it is known which one it is."""

from image_core.errors import InputError


class Fault(Exception):
    """`kind` is the error that the caller gets, with the input's place and these `details`."""

    def __init__(self, kind: type[InputError], details: str) -> None:
        super().__init__(details)
        self.kind = kind
        self.details = details


class MaskFault(Fault):
    """Why a mask cannot be used, and not the image that it belongs to."""


class NeedsMemory(Exception):
    """Decoding an image takes more memory than the process that does it may use."""
