"""What running a generation, or waiting for one, returns and raises."""

from dataclasses import dataclass

from image_core.errors import NotFound
from image_core.generations.record import Record
from image_core.images.image import Image


@dataclass(frozen=True, slots=True)
class Result:
    """A record, and the image where it is still in memory."""

    record: Record
    image: Image | None = None


class Gone(NotFound):
    """The generation was deleted while it ran."""

    def __init__(self, record_id: str) -> None:
        super().__init__("The generation was deleted while it ran")
        self.record_id = record_id


class LeasedElsewhere(Exception):
    """Another process runs the generation; `record` is what is stored."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record
