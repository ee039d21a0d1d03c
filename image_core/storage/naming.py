"""The grammar of blob names, ids and image addresses: no other module builds or parses them.

Image container:
    NAME                               an image, while `IMAGE_ACCESS` is `public`
    FOLDER/NAME                        an image, while it is `private`
Private container:
    inputs/FOLDER/SHA256.EXTENSION     the copy of an input
    inputs/FOLDER/SHA256.original      a file as it was sent, before a masked edit
    turns/FOLDER/STEM.TOKEN            a model's turn, beside the image STEM
    renditions/FOLDER/NAME/SIZE.FORMAT a smaller copy of the image NAME; SIZE is a width in pixels or `full`
    finished/ID.json                   outbox: a completed record
    images/STEM.EXTENSION              outbox: an image
    keys/pseudonyms                    the key of users' digests

FOLDER is `User.folder`. NAME is what `/api/images/NAME` takes: STEM.EXTENSION, with the STEM `generated-MS-RANDOM`, or
`MS-RANDOM-FILE` for an upload; MS is the time in milliseconds. `input-SHA256.EXTENSION` names the copy of an input
there. The original product's names have another RANDOM or none, and file names as its users had them.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from image_core.auth.user import User
from image_core.clock import milliseconds
from image_core.images.image import EXTENSIONS, MIME_TYPES

API_IMAGES = "/api/images/"
"""The path under which the API serves images."""

INPUTS = "inputs/"
TURNS = "turns/"
RENDITIONS = "renditions/"
OUTBOX_RECORDS = "finished/"
OUTBOX_IMAGES = "images/"
PSEUDONYM_KEY = "keys/pseudonyms"

ORIGINAL = "original"
"""The extension of a file that is kept as it was sent."""

_COPY = "input-"
_FOLDER = re.compile(r"[0-9a-f]{32}")
_OWN_ID = re.compile(r"gen-(?:(\d{13})-[0-9a-f]+|key-[0-9a-f]{40})")
_ID = re.compile(r"gen-[\x21-\x2e\x30-\x5b\x5d-\x7e]{1,250}")
_OWN_STEM = re.compile(r"generated-\d{10,17}-[0-9a-f]{32}")
_STORED = "|".join(EXTENSIONS.values())
_IMAGE = rf"{_STORED}|jpeg|gif"
"""The original product stored other extensions as well."""
_GENERATED = re.compile(rf"generated-\d{{10,17}}(-[0-9A-Za-z_-]{{1,100}})?\.({_IMAGE})")
# Azure takes no control characters.
_UPLOAD = re.compile(r"\d{10,17}-[^/\\\x00-\x1f\x7f-\x9f]{1,970}")
_INPUT = re.compile(rf"([0-9a-f]{{64}})\.({_STORED}|{ORIGINAL})")
_SEGMENT = r"[^/\\\x00-\x1f\x7f-\x9f]+"
_STEM_AND_EXTENSION = re.compile(rf"({_SEGMENT})\.({_IMAGE})")
_STEM_AND_TOKEN = re.compile(rf"({_SEGMENT})\.([^./\\\x00-\x1f\x7f-\x9f]+)")
_RENDITION = re.compile(rf"(full|[1-9]\d{{0,4}})\.({'|'.join(MIME_TYPES)})")


# Ids of generations.


def new_record_id(now: datetime, token: str) -> str:
    """Return the id of a generation without a key. `token` is random, in hexadecimal."""
    return f"gen-{milliseconds(now)}-{token}"


def keyed_record_id(digest: str) -> str:
    """Return the id of a generation with an idempotency key. `digest` has 40 hexadecimal digits."""
    return f"gen-key-{digest}"


def is_record_id(name: str) -> bool:
    """Return whether a name is the id of a generation, ours or the original product's, and not that of an image."""
    return _ID.fullmatch(name) is not None


def may_be_newer(record_id: str, now: datetime, age: timedelta) -> bool:
    """Return whether a generation of this API may be younger than `age`. One with a key may be of any age."""
    found = _OWN_ID.fullmatch(record_id)
    if found is None:
        return False
    return found[1] is None or milliseconds(now) - int(found[1]) < age / timedelta(milliseconds=1)


# Names of images.


def new_stem(now: datetime, token: str) -> str:
    """Return the stem of a new generation's image. `token` has 32 random hexadecimal digits."""
    return f"generated-{milliseconds(now)}-{token}"


def image_name(stem: str, extension: str) -> str:
    """Return the name of a generation's image."""
    return f"{stem}.{extension}"


def stem_of(name: str) -> str | None:
    """Return the stem in the name of an image; None for other names."""
    found = _STEM_AND_EXTENSION.fullmatch(name)
    return None if found is None else found[1]


def is_own_stem(stem: str) -> bool:
    """Return whether a stem is one that `new_stem` made."""
    return _OWN_STEM.fullmatch(stem) is not None


def upload_name(now: datetime, token: str, file_name: str) -> str:
    """Return the name of an upload. `file_name` has no path separators or control characters."""
    return f"{milliseconds(now)}-{token}-{file_name}"


def is_upload(name: str) -> bool:
    """Return whether a name is that of an uploaded file."""
    return _UPLOAD.fullmatch(name) is not None


def is_generated(name: str) -> bool:
    """Return whether a name is that of a generated image, ours or the original product's."""
    return _GENERATED.fullmatch(name) is not None


def is_copy(name: str) -> bool:
    """Return whether a name is that of the copy of an input."""
    return name.startswith(_COPY) and _INPUT.fullmatch(name.removeprefix(_COPY)) is not None


def last_segment(path: str) -> str:
    """Return the name of an image without the folder, the container and the host before it."""
    return path.rpartition("/")[2]


def name_in(url: str) -> str:
    """Return the name of the image that an address ends with, decoded."""
    return unquote(last_segment(urlsplit(url).path))


# Blobs of the private container.


@dataclass(frozen=True, slots=True)
class InputBlob:
    """The copy of an input, or with the extension ORIGINAL a file as it was sent."""

    folder: str
    digest: str
    extension: str

    @property
    def path(self) -> str:
        """The name in the private container."""
        return f"{INPUTS}{self.folder}/{self.file_name}"

    @property
    def file_name(self) -> str:
        """The name without the folder."""
        return f"{self.digest}.{self.extension}"

    @property
    def copy_name(self) -> str:
        """The name under which `/api/images/` serves the copy."""
        return f"{_COPY}{self.file_name}"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the blob with this name, or None."""
        folder, _, name = path.removeprefix(INPUTS).partition("/")
        return cls._of(folder, name) if path.startswith(INPUTS) and _FOLDER.fullmatch(folder) else None

    @classmethod
    def named(cls, user: User, copy_name: str) -> Self | None:
        """Return the user's blob with this `copy_name`, or None. Originals have none."""
        found = cls._of(user.folder, copy_name.removeprefix(_COPY)) if copy_name.startswith(_COPY) else None
        return None if found is None or found.extension == ORIGINAL else found

    @classmethod
    def original(cls, user: User, file_name: str) -> Self | None:
        """Return the user's blob with this `file_name` and the extension ORIGINAL, or None."""
        found = cls._of(user.folder, file_name)
        return found if found is not None and found.extension == ORIGINAL else None

    @classmethod
    def _of(cls, folder: str, file_name: str) -> Self | None:
        found = _INPUT.fullmatch(file_name)
        return None if found is None else cls(folder, found[1], found[2])


@dataclass(frozen=True, slots=True)
class TurnBlob:
    """A model's turn, beside the image with this stem."""

    folder: str
    stem: str
    token: str

    @property
    def path(self) -> str:
        """The name in the private container."""
        return f"{TURNS}{self.folder}/{self.file_name}"

    @property
    def file_name(self) -> str:
        """The name without the folder."""
        return f"{self.stem}.{self.token}"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the blob with this name, or None."""
        folder, _, name = path.removeprefix(TURNS).partition("/")
        return cls._of(folder, name) if path.startswith(TURNS) and _FOLDER.fullmatch(folder) else None

    @classmethod
    def named(cls, user: User, file_name: str) -> Self | None:
        """Return the user's blob with this `file_name`, or None."""
        return cls._of(user.folder, file_name)

    @classmethod
    def _of(cls, folder: str, file_name: str) -> Self | None:
        found = _STEM_AND_TOKEN.fullmatch(file_name)
        return None if found is None else cls(folder, found[1], found[2])


@dataclass(frozen=True, slots=True)
class RenditionBlob:
    """A smaller copy of the image `name`; `width` is None for one of its size."""

    folder: str
    name: str
    width: int | None
    format: str

    @property
    def path(self) -> str:
        """The name in the private container."""
        return f"{RENDITIONS}{self.folder}/{self.name}/{self.width or 'full'}.{self.format}"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the blob with this name, or None."""
        parts = path.removeprefix(RENDITIONS).split("/")
        if not path.startswith(RENDITIONS) or len(parts) != len(("folder", "name", "size")):
            return None
        folder, name, size = parts
        found = _RENDITION.fullmatch(size)
        if found is None or not _FOLDER.fullmatch(folder) or not re.fullmatch(_SEGMENT, name):
            return None
        return cls(folder, name, None if found[1] == "full" else int(found[1]), found[2])


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """A completed record in the outbox."""

    record_id: str

    @property
    def path(self) -> str:
        """The name in the private container."""
        return f"{OUTBOX_RECORDS}{self.record_id}.json"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the blob with this name, or None."""
        record_id = path.removeprefix(OUTBOX_RECORDS).removesuffix(".json")
        return cls(record_id) if path == cls(record_id).path and is_record_id(record_id) else None


@dataclass(frozen=True, slots=True)
class OutboxImage:
    """An image in the outbox."""

    name: str

    @property
    def path(self) -> str:
        """The name in the private container."""
        return f"{OUTBOX_IMAGES}{self.name}"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the blob with this name, or None."""
        name = path.removeprefix(OUTBOX_IMAGES)
        return cls(name) if path == cls(name).path and stem_of(name) is not None else None


# Addresses.


def api_url(name: str) -> str:
    """Return the address under which the API serves an image, or the image of the generation with this id."""
    return f"{API_IMAGES}{quote(name)}"


@dataclass(frozen=True, slots=True)
class BlobLocation:
    """A blob that may hold an image. `in_folder`: in its user's own folder, so that no other user can name it."""

    container: str
    path: str
    in_folder: bool


@dataclass(frozen=True, slots=True)
class Locations:
    """The containers, and how images are stored: with `private` under their users' folders, served by the API alone."""

    account_url: str
    """The address of the account, without a slash at the end."""
    container: str
    private_container: str
    private: bool

    def path(self, user: User, name: str) -> str:
        """Return the name of an image's blob in the container."""
        return self.paths(user, name)[0]

    def paths(self, user: User, name: str) -> tuple[str, str]:
        """Return the names of the blobs that may hold an image: as `IMAGE_ACCESS` is, and as it was before a change."""
        in_folder = f"{user.folder}/{name}"
        return (in_folder, name) if self.private else (name, in_folder)

    def find(self, user: User, name: str) -> tuple[BlobLocation, ...]:
        """Return the blobs that `/api/images/NAME` may mean for `user`, the likeliest first; none for other names."""
        if copy := InputBlob.named(user, name):
            return (BlobLocation(self.private_container, copy.path, in_folder=True),)
        if not (is_generated(name) or is_upload(name)):
            return ()
        return tuple(BlobLocation(self.container, path, in_folder=path != name) for path in self.paths(user, name))

    def name_at(self, user: User, path: str) -> str | None:
        """Return the name of the image at `path` of the container, below no folder but the user's; else None."""
        folder, _, below = path.partition("/")
        if _FOLDER.fullmatch(folder) and below:
            return below if folder == user.folder else None
        return path

    def url(self, name: str) -> str:
        """Return the permanent address of an image."""
        return api_url(name) if self.private else f"{self._base}{quote(name)}"

    def current_url(self, url: str) -> str:
        """Return where an image can be read now: while images are private, public blobs' addresses lead nowhere."""
        parts = urlsplit(url)
        if not self.private or not f"{parts.scheme}://{parts.netloc}{parts.path}".startswith(self._base):
            return url
        return api_url(last_segment(unquote(parts.path)))

    def original_name(self, url: str) -> str | None:
        """Return the name in an address of the original product, outside of folders; None for other containers.

        The host is not compared: the record may name the storage by another one.
        """
        container, _, name = urlsplit(url).path.rpartition("/")
        return unquote(name) if last_segment(container) == self.container and name else None

    @property
    def _base(self) -> str:
        return f"{self.account_url}/{self.container}/"
