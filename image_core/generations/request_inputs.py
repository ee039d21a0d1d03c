"""The inputs of a new request: the earlier generation, its images, its mask, and their private copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from image_core.auth.user import User
from image_core.errors import Conflict, NotFound
from image_core.generations import context
from image_core.generations.history import History
from image_core.generations.record import MaskedEdit, Record, Status, StoredTurn
from image_core.generations.request import GenerationRequest
from image_core.images.image import Image
from image_core.images.masked_edit import PreparedEdit
from image_core.images.region import Crop, Shapes
from image_core.inputs.loader import LoadedInput
from image_core.models.generated import Options
from image_core.runtime.memory_budget import Claim
from image_core.storage.input_copies import InputCopies, InputCopy
from image_core.storage.naming import api_url, is_record_id

NO_PARENT = "No generation of yours has the id in `from`"

SENT_SIDE = 2048
"""The longest side, in pixels, of the part of an image that a model is asked to edit: a model gets any image as 1120
tokens."""
LARGE_SENT_SIDE = 4096
"""The same if an image of 4K is requested."""


class InputLoader(Protocol):
    """Loads inputs. Implemented by `inputs.loader.Loader`."""

    async def load_all(
        self, images: Sequence[str], user: User, claim: Claim, earlier: str | None = None, *, edit_first: bool = False
    ) -> tuple[LoadedInput, ...]:
        """Load the image of the generation `earlier` and every image; with `edit_first` keep the first file."""
        ...

    async def prepare_edit(
        self, mask: str, inputs: Sequence[LoadedInput], shapes: Shapes, max_side: int, user: User, claim: Claim
    ) -> PreparedEdit | None:
        """Load a mask and prepare the edit of the first input; None where all of it is to be edited."""
        ...


class ImageShapes(Protocol):
    """Which shapes the models make (`models.chain.ModelChain`)."""

    def shapes(self, options: Options, inputs: int) -> Shapes:
        """Return the shapes of images that every model that may be asked can make."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedRequest:
    """The inputs of a request in memory. `turns` are the earlier turns that fit beside them."""

    inputs: tuple[LoadedInput, ...]
    edit: PreparedEdit | None
    turns: tuple[StoredTurn, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """The images that the model gets: for a masked edit, the crop instead of the first input."""
        images = tuple(each.image for each in self.inputs)
        return images if self.edit is None else (self.edit.sent, *images[1:])

    @property
    def crop(self) -> Crop | None:
        """The part of the first image that a model would be asked to edit; None without a mask."""
        return None if self.edit is None else self.edit.inner_crop


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The inputs of a request as its record names them: private copies, and addresses as callers see them."""

    copies: tuple[InputCopy, ...]
    addresses: tuple[str, ...]
    edit: MaskedEdit | None = None
    turns: tuple[StoredTurn, ...] = ()


class RequestInputs:
    """Loads and keeps the inputs of requests."""

    def __init__(self, history: History, loader: InputLoader, copies: InputCopies, models: ImageShapes) -> None:
        self._history = history
        self._loader = loader
        self._copies = copies
        self._models = models

    async def parent(self, user: User, request: GenerationRequest) -> Record | None:
        """Return the generation whose image the request edits (`from`), or None. Raises NotFound, Conflict."""
        if request.from_id is None:
            return None
        if not is_record_id(request.from_id):
            raise NotFound(NO_PARENT, field="from")
        try:
            parent = await self._history.read(user, request.from_id, may_be_new=True)
        except NotFound:
            raise NotFound(NO_PARENT, field="from") from None
        if parent.status is Status.RUNNING:
            raise Conflict("It is still running: wait until it has succeeded")
        if parent.status is not Status.SUCCEEDED:
            raise Conflict(f"Its status is {parent.status}")
        return parent

    async def load(self, user: User, request: GenerationRequest, parent: Record | None, claim: Claim) -> LoadedRequest:
        """Load all inputs; `claim` holds their bytes.

        Raises InputError, ImagesTooLarge, Conflict, StorageUnavailable, Busy.
        """
        inputs, edit = await self._load(user, request, parent, claim)
        turns = () if edit is not None else _turns(request, parent, inputs, claim)
        return LoadedRequest(inputs, edit, turns)

    async def _load(
        self, user: User, request: GenerationRequest, parent: Record | None, claim: Claim
    ) -> tuple[tuple[LoadedInput, ...], PreparedEdit | None]:
        earlier, mask = None if parent is None else parent.id, request.mask
        inputs = await self._loader.load_all(request.images, user, claim, earlier, edit_first=mask is not None)
        if mask is None:
            return inputs, None
        shapes = self._models.shapes(request.options, len(inputs))
        max_side = LARGE_SENT_SIDE if request.options.image_size == "4K" else SENT_SIDE
        return inputs, await self._loader.prepare_edit(mask, inputs, shapes, max_side, user, claim)

    async def keep(self, user: User, loaded: LoadedRequest) -> StoredRequest:
        """Store private copies, with which the generation can be run again after a crash. Raises StorageUnavailable."""
        copies = await self._copies.put_all(user, tuple(each.image for each in loaded.inputs))
        edit = None if loaded.edit is None else await self._keep_edit(user, loaded.edit, loaded.inputs[0])
        addresses = tuple(each.address or api_url(copy.name) for each, copy in zip(loaded.inputs, copies, strict=True))
        return StoredRequest(copies, addresses, edit, loaded.turns)

    async def _keep_edit(self, user: User, prepared: PreparedEdit, first: LoadedInput) -> MaskedEdit:
        sent, mask = await self._copies.put_all(user, (prepared.sent, prepared.mask))
        original = None if first.original is None else await self._copies.put_original(user, first.original)
        return MaskedEdit(mask, sent, prepared.crop, prepared.size, original, len(first.edited))


def _turns(
    request: GenerationRequest, parent: Record | None, inputs: Sequence[LoadedInput], claim: Claim
) -> tuple[StoredTurn, ...]:
    """Return the earlier turns that fit beside the inputs, which `claim` holds."""
    added = sum(len(each.image.data) for each in inputs[1:])
    return context.fitting(context.turns_after(parent), len(request.images), added, claim.growth)
