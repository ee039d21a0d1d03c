"""Images that are used unchanged, those that must be converted, and those that are refused without decoding."""

import struct
import zlib

import pytest

from image_core.errors import ImageTooLarge, InputError, InvalidImage, UnsupportedImage
from image_core.images.fault import Fault
from image_core.images.metadata import PNG_END, PNG_SIGNATURE, png_chunk
from image_core.images.passthrough import MAX_SIDE, as_it_is, can_stay, check_pixels
from image_core.images.probe import Header
from tests.support.image_files import JPEGS, PNGS, WEBPS


@pytest.mark.parametrize(
    ("header", "stays"),
    [
        (Header("image/png", MAX_SIDE, MAX_SIDE), True),
        (Header("image/png", MAX_SIDE + 1, 1), False),
        (Header("image/png", 1, MAX_SIDE + 1), False),
        *((Header("image/png", 5, 5, orientation), orientation == 1) for orientation in range(1, 9)),
        (Header("image/webp", 5, 5, animated=True), False),
        (Header("image/jpeg", 5, 5, plain=False), False),
        (Header("image/jpeg", 5, 5, progressive=True), True),
    ],
)
def test_an_upright_plain_image_that_is_not_too_large_stays(header: Header, stays: bool) -> None:
    assert can_stay(header) is stays


def test_pixels_are_limited() -> None:
    check_pixels(1000, 1000)
    with pytest.raises(Fault) as caught:
        check_pixels(1001, 1000)
    assert (caught.value.kind, caught.value.details) == (ImageTooLarge, "it has 1,001 pixels; the limit is 1,000")


@pytest.mark.parametrize(
    ("data", "mime_type", "size"),
    [
        (JPEGS["baseline"], "image/jpeg", (203, 150)),
        (PNGS["RGB"], "image/png", (203, 150)),
        (WEBPS["lossy"], "image/webp", (203, 150)),
    ],
)
def test_an_image_is_used_unchanged(data: bytes, mime_type: str, size: tuple[int, int]) -> None:
    image = as_it_is(data, 203 * 150)
    assert image is not None
    assert image.data is data
    assert (image.mime_type, (image.width, image.height)) == (mime_type, size)
    with pytest.raises(Fault) as caught:
        as_it_is(data, 203 * 150 - 1)
    assert caught.value.kind is ImageTooLarge


HEAD = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
ROWS = zlib.compress(b"\0ab")


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks)


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + bytes(20),
        b"\0\0\0\x10ftypheic" + bytes(20),
        b"BM" + bytes(60),
        b"II*\0" + bytes(20),
        JPEGS["CMYK"],
        JPEGS["baseline"][:-2],
        png(HEAD, png_chunk(b"IDAT", ROWS)),
        png(png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0)), png_chunk(b"IDAT", ROWS), PNG_END),
    ],
    ids=["GIF", "HEIC", "BMP", "TIFF", "CMYK", "a JPEG without its end", "a PNG without its end", "16 bits"],
)
def test_an_image_that_must_be_decoded_is_left_to_the_sandbox(data: bytes) -> None:
    assert as_it_is(data, 10**9) is None


@pytest.mark.parametrize(
    ("data", "kind", "details"),
    [
        (b"", InvalidImage, "it is empty"),
        (b"nothing", InvalidImage, "its bytes are not those of an image"),
        (b"%PDF-1.7", UnsupportedImage, "PDF cannot be used; send PNG, JPEG, WebP, HEIC, AVIF, GIF, BMP or TIFF"),
        (PNG_SIGNATURE + b"\0\0\0\4CgBI" + bytes(20), UnsupportedImage, "a PNG that Xcode has packed for iPhones"),
        (png(HEAD)[:20], InvalidImage, "the file is cut off or damaged"),
        (png(HEAD, PNG_END), InvalidImage, "the file has no pixels"),
        (png(HEAD, png_chunk(b"IDAT", ROWS[:-6]), PNG_END), InvalidImage, "the file is cut off"),
        (JPEGS["baseline"].replace(b"\xff\xc0", b"\xff\xc3", 1), UnsupportedImage, "a lossless JPEG cannot be used"),
        (b"<html>", UnsupportedImage, "it is a web page, not an image; use the address of the image itself"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    data: bytes, kind: type[InputError], details: str
) -> None:
    with pytest.raises(Fault) as caught:
        as_it_is(data, 10**9)
    assert caught.value.kind is kind
    assert caught.value.details.startswith(details)
