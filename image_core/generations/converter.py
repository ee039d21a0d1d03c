"""Convert the image that a model made to another format, or put it into the image that was edited, in a sandbox.

The model's image was paid for, and no failure here may lose it: what fails is logged and returned as None.
"""

import asyncio
import logging
from functools import partial

from image_core.auth.user import User
from image_core.clock import Clock, Deadline
from image_core.errors import Busy, StorageUnavailable
from image_core.generations.record import MaskedEdit, Record
from image_core.generations.retries import retried
from image_core.images.fault import Fault
from image_core.images.image import Image, Target
from image_core.images.masked_edit import ComposedEdit, compose_in_sandbox
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_scheduler import SandboxRunner
from image_core.runtime.telemetry import where
from image_core.storage.input_copies import InputCopies

log = logging.getLogger("image_core.generations")

CONVERT_SECONDS = 30.0
"""Maximum time for converting a new image, with the wait for a sandbox: the image has yet to be stored."""

COMPOSE_SECONDS = 150.0
"""The longest that composing a masked edit takes, with the reading of what it is composed of and the waits for both."""

_UNAVAILABLE = (StorageUnavailable, Busy, TimeoutError)
"""The errors of a storage or of sandboxes that may be available a moment later."""


class SandboxConverter:
    """Converts and composes in sandboxes. Implements `postprocessing.Converter`."""

    def __init__(self, copies: InputCopies, sandboxes: SandboxRunner, clock: Clock) -> None:
        self._copies = copies
        self._sandboxes = sandboxes
        self._clock = clock

    async def convert(self, user: User, image: Image, target: Target) -> Image | None:
        """Return `image` in another format; None where that fails: what was paid for is kept as it is."""
        deadline = self._clock.deadline(CONVERT_SECONDS)
        convert = partial(convert_in_sandbox, target=target)
        try:
            async with asyncio.timeout(CONVERT_SECONDS):
                return await self._sandboxes.run(image.data, user.id, deadline.remaining, convert)
        except (Fault, Busy) as refused:
            log.warning("an image could not be converted to %s: %s", target.format, refused.details)
        except Exception as error:  # noqa: BLE001 - no defect of a conversion may lose an image that was paid for
            log.error("converting an image failed: %s", where(error))  # noqa: TRY400 - no stack needed
        return None

    async def compose(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, seconds: float
    ) -> ComposedEdit | None:
        """Return the first input of `record` with what a model made in it, as `target` says; None where that fails.

        While the storage or every sandbox is not available it is tried again, for `seconds` in all.
        """
        deadline = self._clock.deadline(seconds)

        async def composed() -> ComposedEdit:
            async with asyncio.timeout(deadline.remaining()):
                return await self._composed(record, edit, answer, target, deadline)

        try:
            return await retried(composed, _UNAVAILABLE, deadline, self._clock)
        except _UNAVAILABLE as error:
            log.warning("a masked edit could not be composed in time: %s", type(error).__name__)
        except Fault as fault:
            log.warning("a masked edit could not be composed: %s", fault.details)
        except Exception as error:  # noqa: BLE001 - no defect of composing may lose an image that was paid for
            log.error("composing a masked edit failed: %s", where(error))  # noqa: TRY400 - no stack needed
        return None

    async def _composed(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, deadline: Deadline
    ) -> ComposedEdit:
        user = record.user
        (mask,) = await self._copies.read_all(user, (edit.mask,))
        if edit.original is None:
            (first,) = await self._copies.read_all(user, record.inputs[:1])
            data = first.data
        else:
            data = await self._copies.read_original(user, edit.original, edit.edited_bytes)
        compose = partial(compose_in_sandbox, mask=mask.data, answer=answer.data, box=edit.crop.box, target=target)
        return await self._sandboxes.run(data, user.id, deadline.remaining, compose)
