"""The earlier turns of an edit: which are replayed to the model, where they are read from, and how they are kept.

A turn is one generation as a conversation has it: the user's images and prompt, and the model's answer. The answer is
stored as received; the images are the generation's private copies. A record names the turns that its model was shown
(`context`) and its own (`turn`), so that an edit of its image can replay both without reading other records.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from image_core.auth.user import User
from image_core.errors import BlobMissing, BlobTooLarge, ImageError
from image_core.generations.held_inputs import Context, HeldInputs
from image_core.generations.record import Record, StoredTurn
from image_core.generations.trace import Trace
from image_core.images.image import Image
from image_core.inputs.fit import MAX_INLINE_BYTES, RESERVED_BYTES, encoded_length
from image_core.models import catalog
from image_core.models.turns import ContextSize, EarlierTurn, ModelTurn
from image_core.runtime.memory_budget import Claim
from image_core.runtime.offload import offloaded
from image_core.runtime.telemetry import where
from image_core.storage.input_copies import InputCopies, InputCopy
from image_core.storage.turns import Turns

log = logging.getLogger("image_core.generations")

MAX_TURNS = 3
"""The most earlier generations that a model is shown."""

KEEP_SECONDS = 10.0
"""The longest that storing a turn takes. Without one the next edit has less context, and nothing else is lost."""

NONE: tuple[StoredTurn, ...] = ()


def turns_after(parent: Record | None) -> tuple[StoredTurn, ...]:
    """Return what an edit of the image of `parent` can replay, oldest first: what its model was shown, and its turn."""
    return NONE if parent is None or parent.turn is None else (*parent.context, parent.turn)


def fitting(turns: Sequence[StoredTurn], images: int, image_bytes: int, max_bytes: int) -> tuple[StoredTurn, ...]:
    """Return the newest of `turns` that fit into a request, oldest first: at most MAX_TURNS.

    `images` and `image_bytes` are those that the request adds; `max_bytes` is the memory for turns and their images.
    """
    if not turns:
        return NONE
    most_images = catalog.max_input_images(turns[-1].model) - images
    most_encoded = MAX_INLINE_BYTES - RESERVED_BYTES - encoded_length(image_bytes)
    fit = NONE
    for count in range(1, min(MAX_TURNS, len(turns)) + 1):
        tried = tuple(turns[-count:])
        copies = shown(tried)
        encoded = sum(turn.size for turn in tried) + sum(encoded_length(copy.size) for copy in copies)
        if (
            sum(turn.images for turn in tried) + len(copies) > most_images
            or encoded > most_encoded
            or memory(tried) > max_bytes
        ):
            break
        fit = tried
    return fit


def shown(turns: Sequence[StoredTurn]) -> tuple[InputCopy, ...]:
    """Return the user's images in `turns`. The first image of a later turn is left out: it is the answer before it."""
    return tuple(copy for index, turn in enumerate(turns) for copy in (turn.inputs[1:] if index else turn.inputs))


def memory(turns: Sequence[StoredTurn]) -> int:
    """Return the bytes of `turns` and of their images in memory."""
    return sum(turn.size for turn in turns) + sum(copy.size for copy in shown(turns))


def size(turns: Sequence[StoredTurn]) -> ContextSize | None:
    """Return what `turns` add to the expected cost; None where there are none."""
    if not turns:
        return None
    images = sum(turn.images for turn in turns) + len(shown(turns))
    return ContextSize(turns[-1].model, len(turns), images, sum(turn.characters for turn in turns))


class Conversations:
    """Stores the turns of generations, and reads them."""

    def __init__(self, turns: Turns, copies: InputCopies) -> None:
        self._turns = turns
        self._copies = copies

    def hold(self, record: Record, claim: Claim, trace: Trace, images: tuple[Image, ...] | None = None) -> HeldInputs:
        """Return what a run of `record` holds: its inputs (`images` are they in memory), and its earlier turns."""
        size = sum(copy.size for copy in record.sent) + memory(record.context)
        read = partial(self._copies.read_all, record.user, record.sent)
        if record.parent_id is None:
            return HeldInputs(claim, trace, size, read, images)
        model = record.context[-1].model if record.context else None
        context = Context(model, partial(self.read, record.user, record.context))
        return HeldInputs(claim, trace, size, read, images, context)

    async def keep(self, record: Record, model: str, turn: ModelTurn | None) -> StoredTurn | None:
        """Store a turn of a generation; None where there is none, or it cannot be stored.

        A masked edit has none: its answer shows the crop and not the image that the edit ends with.
        """
        if turn is None or record.edit is not None:
            return None
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                data = await offloaded(turn.size, lambda: turn.stored(record.prompt))
                name = await self._turns.put(record.user, record.blob_stem, str(record.lease_owner), data)
        except (ImageError, TimeoutError) as error:
            log.warning("a turn was not stored: %s", type(error).__name__, extra={"generation": record.id})
            return None
        except Exception as error:  # noqa: BLE001 - no defect here may lose an image that was paid for
            log.error("storing a turn broke: %s", where(error), extra={"generation": record.id})  # noqa: TRY400 - no stack needed
            return None
        characters = len(record.prompt) + turn.characters
        return StoredTurn(name, model, len(data), turn.images, characters, record.inputs)

    async def read(self, user: User, turns: Sequence[StoredTurn]) -> tuple[EarlierTurn, ...]:
        """Read the newest of `turns` that are complete, with answers and images, oldest first."""
        found = await asyncio.gather(*(self._read(user, turn) for turn in turns))
        # A turn that is gone ends the conversation: what is older cannot stand before what came after it.
        first = max((index for index, turn in enumerate(found) if turn is None), default=-1) + 1
        for index in range(first, len(turns)):
            image = await self._images(user, turns[index].inputs[:1])
            if image is not None:
                oldest, *others = (turn for turn in found[index:] if turn is not None)
                return (EarlierTurn((*image, *oldest.images), oldest.prompt, oldest.answer), *others)
        return ()

    async def _read(self, user: User, turn: StoredTurn) -> EarlierTurn | None:
        """Read a turn without the first of its images; None where it is gone, or cannot be read."""
        try:
            stored = await self._turns.read(user, turn.name, turn.size)
            images = await self._images(user, turn.inputs[1:])
            if images is None or len(stored) != turn.size:
                return None
            return EarlierTurn.read(stored, images)
        except (BlobMissing, BlobTooLarge, ImageError, ValueError, RecursionError) as error:
            log.warning("an earlier turn cannot be read: %s", type(error).__name__)
            return None

    async def _images(self, user: User, copies: Sequence[InputCopy]) -> tuple[Image, ...] | None:
        """Read private copies; None where one of them cannot be read."""
        try:
            return await self._copies.read_all(user, copies)
        except ImageError:
            return None
