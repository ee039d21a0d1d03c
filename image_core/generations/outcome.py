"""How a generation stands when somebody asks for it."""

from dataclasses import dataclass

from image_core.errors import NotFound
from image_core.generations.record import Record
from image_core.images.image import Image


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record, and the picture where it is still in memory."""

    record: Record
    picture: Image | None = None

    @property
    def finished(self) -> bool:
        return self.record.status.ended


class Gone(NotFound):
    """The generation was deleted while it ran."""

    def __init__(self, record_id: str) -> None:
        super().__init__("The generation was deleted while it ran")
        self.record_id = record_id


class Leased(Exception):
    """Another process holds the generation; `record` is what is stored."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record
