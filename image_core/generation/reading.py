"""Pictures and input copies, read back: for an answer, and for their owner by name."""

from dataclasses import dataclass

from image_core.errors import BlobMissing, NotFound, StorageUnavailable
from image_core.generation.outcome import Outcome
from image_core.inputs.own import OwnAddresses, resolve
from image_core.picture import Picture
from image_core.store.blobs import Blob, Blobs
from image_core.store.pictures import Pictures, proof
from image_core.store.record import Record
from image_core.store.records import Records
from image_core.user import User

MAX_OUTPUT_BYTES = 100_000_000
"""More than any model answers: a picture that was stored is always read back whole."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob that its owner may read."""

    container: str
    blob: Blob


class Reading:
    """Raises StorageUnavailable from every method while the storage does not answer."""

    def __init__(self, blobs: Blobs, pictures: Pictures, records: Records, own: OwnAddresses) -> None:
        self._blobs = blobs
        self._pictures = pictures
        self._records = records
        self._own = own

    async def picture(self, outcome: Outcome) -> Picture:
        """The picture of a generation that succeeded: from memory, else from its blob."""
        if outcome.picture is not None:
            return outcome.picture
        record = outcome.record
        try:
            data = await self._pictures.read(record.user, _name(record), MAX_OUTPUT_BYTES)
        except BlobMissing as error:
            raise StorageUnavailable("The picture is not there; its record remains") from error
        return Picture(data, record.mime_type or "image/png", record.width or 0, record.height or 0)

    async def open(self, user: User, name: str) -> Opened:
        """What lies under `/api/images/<name>` for `user`. Raises NotFound where that is nothing, or another user's."""
        place = resolve(name, user, self._own)
        if place is None:
            raise NotFound
        container, path = place
        try:
            blob = await self._blobs.describe(container, path)
        except BlobMissing:
            raise NotFound from None
        in_own_folder = f"{user.folder}/" in path
        if not in_own_folder and blob.metadata.get("proof") != proof(user, name):
            raise NotFound
        return Opened(container, blob)

    async def open_result(self, record: Record) -> Opened:
        """The image of a generation that succeeded. Raises NotFound where its blob is gone."""
        return await self.open(record.user, _name(record))

    async def read(self, opened: Opened, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`. Raises NotFound where it was deleted meanwhile."""
        try:
            return await self._blobs.read_range(opened.container, opened.blob.name, offset, length)
        except BlobMissing:
            raise NotFound from None


def _name(record: Record) -> str:
    return f"{record.blob_stem}.{(record.output_image_url or '').rsplit('.', 1)[-1]}"
