"""Our own images: which addresses are ours, and whose they are.

An address is taken apart and compared part by part; what is read is then built anew from a name that fits a pattern, so
that no query, snapshot, `..` or encoded slash of the caller's ever reaches the storage.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from image_core.auth.user import User
from image_core.errors import InvalidImage, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.inputs.sources import OWN_PATH

# generated-<ms>-<random>.<ext> and <ms>-<random>-<file name> are ours; the original product's have another random part
# or none, and file names as its users had them: any character but a path separator. Azure takes no control characters.
_GENERATED = re.compile(r"generated-\d{10,17}(-[0-9A-Za-z_-]{1,100})?\.(png|jpg|jpeg|webp|gif)")
_UPLOAD = re.compile(r"\d{10,17}-[^/\\\x00-\x1f\x7f-\x9f]{1,970}")
_INPUT = re.compile(r"input-([0-9a-f]{64}\.(?:png|jpg|webp))")
_RESULT = re.compile(r"gen-[\x21-\x2e\x30-\x5b\x5d-\x7e]{1,250}")
_FOLDER = re.compile(r"[0-9a-f]{32}")
_SEPARATOR = re.compile(r"%(2f|5c)|\\", re.IGNORECASE)
_OTHER_VERSIONS = re.compile(r"(^|&)(snapshot|versionid|restype|comp)=", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class OwnedUrls:
    """Where our images are. `private`: images lie under their users' folders. `site_origins`: where `/api` is ours."""

    account_url: str
    container: str
    private_container: str
    private: bool
    site_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A blob in which an image may lie. `in_folder`: in its user's own folder, so that nobody else can name it."""

    container: str
    path: str
    in_folder: bool


@dataclass(frozen=True, slots=True)
class OwnBlob:
    """A stored image by its name, and the blobs in which it may lie, the likeliest first."""

    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class OwnResult:
    """The image of a generation, by the generation's id."""

    record_id: str


class OwnImages(Protocol):
    """Reads our own images with our own credentials (`generation.reading.Reading`)."""

    async def read_input(
        self, user: User, own: OwnBlob | OwnResult, max_bytes: int, reserve: Callable[[int], Awaitable[None]]
    ) -> bytes: ...


def is_upload(name: str) -> bool:
    """Whether a name is that of an uploaded file."""
    return _UPLOAD.fullmatch(name) is not None


def is_generated(name: str) -> bool:
    """Whether a name is that of a generated image, ours or the original product's."""
    return _GENERATED.fullmatch(name) is not None


def is_generation(record_id: str) -> bool:
    """Whether an id can be that of a generation."""
    return _RESULT.fullmatch(record_id) is not None


def places(name: str, user: User, own: OwnedUrls) -> tuple[Place, ...]:
    """The blobs in which what `/api/images/<name>` is for `user` may lie; none where it can be nothing of theirs.

    `IMAGE_ACCESS` says where new images are stored; those that were made before it changed lie in the other place.
    """
    if found := _INPUT.fullmatch(name):
        return (Place(own.private_container, f"inputs/{user.folder}/{found[1]}", in_folder=True),)
    if not (_GENERATED.fullmatch(name) or _UPLOAD.fullmatch(name)):
        return ()
    in_folder = Place(own.container, f"{user.folder}/{name}", in_folder=True)
    without = Place(own.container, name, in_folder=False)
    return (in_folder, without) if own.private else (without, in_folder)


def own_image(url: str, user: User, own: OwnedUrls) -> OwnBlob | OwnResult | None:
    """The image of ours that `url` names for `user`; None where the address is not ours at all.

    Raises Fault where it is ours and names no image, or one that is not theirs to read.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None  # the fetching says what is wrong with it
    if not parts.netloc and url.startswith(OWN_PATH):
        return _by_name(parts, user, own)
    if any(_same_place(parts, port, origin) for origin in own.site_origins) and parts.path.startswith(OWN_PATH):
        return _by_name(parts, user, own)
    account = urlsplit(own.account_url)
    base = account.path.rstrip("/") + "/"
    if _same_place(parts, port, own.account_url) and parts.path.startswith(base):
        return _by_blob(parts, parts.path.removeprefix(base), user, own)
    return None


def _same_place(parts: SplitResult, port: int | None, origin: str) -> bool:
    other = urlsplit(origin)
    default = _DEFAULT_PORTS.get(parts.scheme.lower())
    same_host = (parts.hostname or "").rstrip(".") == (other.hostname or "")
    other_port = other.port or _DEFAULT_PORTS.get(other.scheme)
    return parts.scheme.lower() == other.scheme and same_host and (port or default) == other_port


def _refused() -> Fault:
    return Fault(UrlNotAllowed, "it is not one of your images")


def missing() -> Fault:
    """Of an address that is ours and names nothing."""
    return Fault(InvalidImage, "there is no such image")


def _plain(segment: str) -> str:
    """The name in one segment of a path, decoded once. Raises Fault where it has a separator, is `..`, or is no
    text."""
    if _SEPARATOR.search(segment) or "/" in segment:
        raise _refused()
    try:
        decoded = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise missing() from None
    if decoded in {".", ".."}:
        raise _refused()
    return decoded


def _by_name(parts: SplitResult, user: User, own: OwnedUrls) -> OwnBlob | OwnResult:
    name = _plain(parts.path.removeprefix(OWN_PATH))
    if _RESULT.fullmatch(name):
        return OwnResult(name)
    found = places(name, user, own)
    if not found:
        raise missing()
    return OwnBlob(name, found)


def _by_blob(parts: SplitResult, path: str, user: User, own: OwnedUrls) -> OwnBlob:
    container, _, rest = path.partition("/")
    if container != own.container or _OTHER_VERSIONS.search(parts.query) or parts.username is not None:
        raise _refused()
    folder, _, below = rest.partition("/")
    if _FOLDER.fullmatch(folder) and below:
        if folder != user.folder:
            raise _refused()
        rest = below
    name = _plain(rest)
    found = tuple(place for place in places(name, user, own) if place.container == own.container)
    if not found:
        raise missing()
    return OwnBlob(name, found)
