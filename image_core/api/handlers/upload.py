"""`POST /api/upload`: store a file that is used as an input later."""

import re
import secrets
import unicodedata
from collections.abc import Callable
from functools import partial

from image_core.api.forms import uploaded_file
from image_core.api.handlers.ports import UploadChecks, Uploads
from image_core.api.http import Request, Response, json_response
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.images import Upload
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.images.image import Image
from image_core.runtime.memory_budget import MemoryBudget
from image_core.runtime.offload import offloaded
from image_core.storage.naming import upload_name

MAX_STEM_CHARACTERS = 60
FORM_COPIES = 2
"""Copies of the file beside the form: its bytes, and the image without metadata."""


class UploadImage:
    """Checks a file as an input is checked, and stores it."""

    def __init__(
        self,
        loader: UploadChecks,
        uploads: Uploads,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
        clock: Clock,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._loader = loader
        self._uploads = uploads
        self._memory_budget = memory_budget
        self._budget = budget
        self._clock = clock
        self._token = token

    async def handle(self, request: Request, user: User) -> Response:
        """Return the address of the stored file."""
        deadline = self._budget.for_resources(request)
        async with self._memory_budget.entered(user.id, FORM_COPIES * len(request.body), deadline) as claim:
            parse = partial(uploaded_file, request.headers.get("content-type", ""), request.body)
            part = await offloaded(len(request.body), parse)
            image = await self._loader.load_upload(part.data, claim)
            stored = upload_name(self._clock.now(), self._token(16), safe_name(part.file_name or "", image))
            return json_response(200, Upload(url=await self._uploads.put_upload(user, stored, image)).to_wire())


def safe_name(name: str, image: Image) -> str:
    """Return a file's name as part of a blob's: ASCII letters, digits, `-` and `_`, and the extension of its type."""
    plain = (
        unicodedata.normalize("NFKD", name.rsplit("/", 1)[-1].rsplit("\\", 1)[-1]).encode("ascii", "ignore").decode()
    )
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", plain.rsplit(".", 1)[0]).strip("-")[:MAX_STEM_CHARACTERS]
    return f"{stem or 'image'}.{image.extension}"
