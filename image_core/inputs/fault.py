"""Why one input cannot be used, before it is known which one it is."""

from image_core.errors import InputError


class Fault(Exception):
    """`kind` is the error that the caller gets, with the input's place and these `details`."""

    def __init__(self, kind: type[InputError], details: str) -> None:
        super().__init__(details)
        self.kind = kind
        self.details = details
