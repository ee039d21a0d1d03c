"""Recognise owned URLs, and find the stored images that they name for a user.

A URL is split and compared part by part; the blob's path is then built from a name that matches the grammar, so that no
query, snapshot, `..` or encoded slash of a caller reaches the storage.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from image_core.auth.user import User
from image_core.errors import InvalidImage, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.storage.naming import API_IMAGES, BlobLocation, Locations, is_record_id

_SEPARATOR = re.compile(r"%(2f|5c)|\\", re.IGNORECASE)
_OTHER_VERSIONS = re.compile(r"(^|&)(snapshot|versionid|restype|comp)=", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class OwnedUrls(Locations):
    """The owned URLs: those of the containers, of `/api`, and of `/api` at each of `site_origins`."""

    site_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnBlob:
    """A stored image by its name, and the blobs that may hold it, most likely first."""

    name: str
    places: tuple[BlobLocation, ...]


@dataclass(frozen=True, slots=True)
class OwnResult:
    """The image of a generation, by the generation's id."""

    record_id: str


class OwnImages(Protocol):
    """Reads stored images (`generations.reading.Reading`)."""

    async def read_input(
        self, user: User, own: OwnBlob | OwnResult, max_bytes: int, reserve: Callable[[int], Awaitable[None]]
    ) -> bytes:
        """Return the bytes of an image. `reserve` waits for memory. Raises Fault, BlobTooLarge, StorageUnavailable."""
        ...


def own_image(url: str, user: User, own: OwnedUrls) -> OwnBlob | OwnResult | None:
    """Return the stored image that `url` names for `user`; None where it is not an owned URL.

    Raises Fault where an owned URL names no image, or another user's.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None  # the fetcher raises the error
    if not parts.netloc and url.startswith(API_IMAGES):
        return _by_name(parts, user, own)
    if any(_is_below(parts, port, origin) for origin in own.site_origins) and parts.path.startswith(API_IMAGES):
        return _by_name(parts, user, own)
    account = urlsplit(own.account_url)
    base = account.path.rstrip("/") + "/"
    if _is_below(parts, port, own.account_url) and parts.path.startswith(base):
        return _by_blob(parts, parts.path.removeprefix(base), user, own)
    return None


def _is_below(parts: SplitResult, port: int | None, origin: str) -> bool:
    other = urlsplit(origin)
    default = _DEFAULT_PORTS.get(parts.scheme.lower())
    same_host = (parts.hostname or "").rstrip(".") == (other.hostname or "")
    other_port = other.port or _DEFAULT_PORTS.get(other.scheme)
    return parts.scheme.lower() == other.scheme and same_host and (port or default) == other_port


def _refused() -> Fault:
    return Fault(UrlNotAllowed, "it is not one of your images")


def missing() -> Fault:
    """Return the Fault for an owned URL that names no image."""
    return Fault(InvalidImage, "there is no such image")


def _plain(segment: str) -> str:
    """Decode the name in one segment of a path. Raises Fault for a separator, `..`, or bytes that are not UTF-8."""
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
    name = _plain(parts.path.removeprefix(API_IMAGES))
    if is_record_id(name):
        return OwnResult(name)
    found = own.find(user, name)
    if not found:
        raise missing()
    return OwnBlob(name, found)


def _by_blob(parts: SplitResult, path: str, user: User, own: OwnedUrls) -> OwnBlob:
    container, _, rest = path.partition("/")
    if container != own.container or _OTHER_VERSIONS.search(parts.query) or parts.username is not None:
        raise _refused()
    below = own.name_at(user, rest)
    if below is None:
        raise _refused()
    name = _plain(below)
    found = tuple(place for place in own.find(user, name) if place.container == own.container)
    if not found:
        raise missing()
    return OwnBlob(name, found)
