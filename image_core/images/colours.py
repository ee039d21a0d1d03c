"""Convert between the colour profile of an image and sRGB, for masked edits, which keep the image's profile."""

import io
import struct
from dataclasses import dataclass

import PIL.Image
from PIL import ImageCms

GRAY, RGB = "GRAY", "RGB "
_HEADER_BYTES = 128
_ENTRY = struct.Struct(">4sII")
_CURVES = (b"rTRC", b"gTRC", b"bTRC")


def profile_in_rgb(profile: bytes | None, *, gray: bool) -> bytes | None:
    """Return the profile for an image in RGB; None where there is none, or one that cannot be used for these pixels.

    For a gray image it is a profile in which its values, used for red, green and blue, show the same gray.
    """
    if not profile:
        return None
    try:
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    except (OSError, ValueError, TypeError):
        return None
    if parsed.xcolor_space == RGB:
        return profile
    if parsed.xcolor_space == GRAY and gray and parsed.connection_space == "XYZ ":
        return _from_gray(profile)
    return None


def _from_gray(profile: bytes) -> bytes | None:
    """Combine the primaries of sRGB with the curve of a gray profile (ICC.1:2022, 7.2 to 7.3 and 8.3)."""
    curve = _tags(profile).get(b"kTRC")
    if curve is None:
        return None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {name: body for name, body in _tags(srgb).items() if name != b"chrm"}
    tags.update(dict.fromkeys(_CURVES, curve))
    at = _HEADER_BYTES + 4 + _ENTRY.size * len(tags)
    entries, bodies, places = [], [], dict[bytes, int]()
    for name, body in tags.items():
        if body not in places:
            places[body] = at
            padded = body + bytes(-len(body) % 4)
            bodies.append(padded)
            at += len(padded)
        entries.append(_ENTRY.pack(name, places[body], len(body)))
    header = struct.pack(">I", at) + srgb[4:84] + bytes(_HEADER_BYTES - 84)
    return header + struct.pack(">I", len(tags)) + b"".join(entries) + b"".join(bodies)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    entries = (_ENTRY.unpack_from(profile, _HEADER_BYTES + 4 + _ENTRY.size * number) for number in range(count))
    return {name: profile[at : at + length] for name, at, length in entries}


@dataclass(frozen=True, slots=True)
class Colours:
    """Converts images in RGB or RGBA between a profile and sRGB. They stay unchanged if that cannot be reversed."""

    to: ImageCms.ImageCmsTransform | None = None
    back: ImageCms.ImageCmsTransform | None = None

    @classmethod
    def of(cls, profile: bytes | None, mode: str) -> "Colours":
        """Return the transforms for images of `mode` with `profile`; None stands for sRGB."""
        if profile is None:
            return cls()
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            return cls(_transform(source, srgb, mode), _transform(srgb, source, mode))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return cls()

    def in_srgb(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Return `image`, which is in the profile, in sRGB."""
        return _applied(image, self.to)

    def from_srgb(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Return `image`, which is in sRGB, in the profile."""
        return _applied(image, self.back)


def _transform(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, mode: str
) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        source, target, mode, mode, ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    )


def _applied(image: PIL.Image.Image, transform: ImageCms.ImageCmsTransform | None) -> PIL.Image.Image:
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    return image if converted is None else converted
