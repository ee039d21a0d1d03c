"""Our own pictures: which addresses are ours, and whose they are.

An address is taken apart and compared part by part; what is read is then built anew from a name that fits a pattern, so
that no query, snapshot, `..` or encoded slash of the caller's ever reaches the storage.
"""

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from image_core.errors import UrlNotAllowed
from image_core.inputs.fault import Fault
from image_core.inputs.parse import OWN_PATH
from image_core.user import User

# generated-<ms>-<random>.<ext> and <ms>-<random>-<file name> are ours; the shorter forms were the original product's.
_PICTURE = re.compile(r"generated-\d{10,17}(-[0-9a-f]{32})?\.(png|jpg|jpeg|webp)")
_UPLOAD = re.compile(r"\d{10,17}-[^/\\?#%\x00-\x1f\x7f]{1,300}")
_INPUT = re.compile(r"input-([0-9a-f]{64}\.(?:png|jpg|webp))")
_OTHER_VERSIONS = re.compile(r"(^|&)(snapshot|versionid|restype|comp)=", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BlobReader(Protocol):
    """Reads with our own credentials (`store.blobs.Blobs`)."""

    async def read(self, container: str, name: str, max_bytes: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Where our pictures are. `private`: pictures lie under their users' folders. `site_origins`: where `/api` is ours."""

    account_url: str
    container: str
    private_container: str
    private: bool
    site_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnBlob:
    container: str
    name: str


def resolve(name: str, user: User, own: OwnAddresses) -> tuple[str, str] | None:
    """Container and blob of what `/api/images/<name>` is for `user`; None where it can be nothing of theirs."""
    if found := _INPUT.fullmatch(name):
        return own.private_container, f"inputs/{user.folder}/{found[1]}"
    if ".." in name or not (_PICTURE.fullmatch(name) or _UPLOAD.fullmatch(name)):
        return None
    return own.container, f"{user.folder}/{name}" if own.private else name


def own_blob(url: str, user: User, own: OwnAddresses) -> OwnBlob | None:
    """The blob of ours that `url` names for `user`; None where the address is not ours at all.

    Raises Fault where it is ours and not theirs to read.
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
    return Fault(UrlNotAllowed, "it is not one of your pictures")


def _plain(path: str) -> str:
    """One name, decoded. Raises Fault where it hides a slash, a backslash or another encoding."""
    decoded = unquote(path, errors="strict") if "%" in path else path
    if re.search(r"%(2f|5c|25|00)", path, re.IGNORECASE) or "/" in decoded or "\\" in decoded or ".." in decoded:
        raise _refused()
    return decoded


def _by_name(parts: SplitResult, user: User, own: OwnAddresses) -> OwnBlob:
    try:
        place = resolve(_plain(parts.path.removeprefix(OWN_PATH)), user, own)
    except UnicodeDecodeError:
        raise _refused() from None
    if place is None:
        raise _refused()
    return OwnBlob(*place)


def _by_blob(parts: SplitResult, path: str, user: User, own: OwnAddresses) -> OwnBlob:
    container, _, rest = path.partition("/")
    if container != own.container or _OTHER_VERSIONS.search(parts.query) or parts.username is not None:
        raise _refused()
    if own.private:
        folder, _, rest = rest.partition("/")
        if folder != user.folder:
            raise _refused()
    try:
        name = _plain(rest)
    except UnicodeDecodeError:
        raise _refused() from None
    place = resolve(name, user, own)
    if place is None or place[0] != own.container:
        raise _refused()
    return OwnBlob(*place)
