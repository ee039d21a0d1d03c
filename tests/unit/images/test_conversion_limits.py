"""Limits of a conversion: pixels, and the memory that decoding is expected to take."""

import pytest

from image_core.errors import ImageTooLarge, InvalidImage
from image_core.images.convert import Limits, converted, faults
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.image import OutputFormat, Target
from image_core.images.metadata import Broken
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from image_core.settings import Settings
from tests.support.image_files import turned

PIXELS = 65_000_000
MEBIBYTE = 2**20
Size = tuple[int, int]


def test_damaged_image_is_invalid_with_the_maximum_of_memory() -> None:
    damaged = turned(3000)[:20_000]
    for memory in (None, most_memory_bytes(PIXELS)):
        with pytest.raises(Fault) as caught:
            converted(damaged, PIXELS, PIXELS, memory)
        assert caught.value.kind is InvalidImage


@pytest.mark.parametrize(
    ("name", "size", "shrunk", "progressive", "enough"),
    [
        ("JPEG", (8064, 6048), 2, False, "usual"),
        ("JPEG", (9504, 6336), 2, False, "usual"),
        ("JPEG", (9504, 6336), 2, True, "most"),
        ("JPEG", (4032, 3024), 1, False, "usual"),
        ("HEIF", (4032, 3024), 1, False, "usual"),
        ("HEIF", (5712, 4284), 1, False, "usual"),
        ("HEIF", (8064, 6048), 1, False, "most"),
        ("HEIF", (9504, 6336), 1, False, "most"),
        ("PNG", (8064, 6048), 1, False, "most"),
        ("PNG", (9504, 6336), 1, False, "most"),
        ("TIFF", (9504, 6336), 1, False, "most"),
        ("AVIF", (9504, 6336), 1, False, "most"),
        ("WEBP", (8064, 6048), 1, False, "none"),
    ],
)
def test_sizes_of_current_cameras_fit_into_the_default_memory(
    name: str, size: Size, shrunk: int, progressive: bool, enough: str
) -> None:
    defaults = Settings.read({})
    fits = []
    for memory in (USUAL_MEMORY_BYTES, most_memory_bytes(defaults.max_decoded_pixels)):
        limits = Limits(defaults.max_image_pixels, defaults.max_decoded_pixels, memory)
        try:
            limits.check(name, size, shrunk, progressive=progressive)
        except NeedsMemory:
            fits.append(False)
        else:
            fits.append(True)
    assert fits == {"usual": [True, True], "most": [False, True], "none": [False, False]}[enough]


FITTED = Limits(PIXELS, PIXELS, None)
NARROW = Limits(PIXELS, PIXELS, None, fit=Target(100, "png").size)
IN_FULL = Limits(PIXELS, PIXELS, None, in_full=True)


@pytest.mark.parametrize(
    ("limits", "name", "size", "shrunk", "progressive", "expected"),
    [
        (FITTED, "JPEG", (1000, 800), 1, False, 50 * MEBIBYTE + (8 + 4) * 800_000),
        (FITTED, "PNG", (1000, 800), 1, False, 50 * MEBIBYTE + (12 + 4) * 800_000),
        (FITTED, "WEBP", (1000, 800), 1, False, 50 * MEBIBYTE + 15 * 800_000),
        (FITTED, "GIF", (1000, 800), 1, False, 50 * MEBIBYTE + (12 + 2) * 800_000),
        (FITTED, "BMP", (1000, 800), 1, False, 50 * MEBIBYTE + (12 + 4) * 800_000),
        (FITTED, "TIFF", (1000, 800), 1, False, 50 * MEBIBYTE + (12 + 6) * 800_000),
        (FITTED, "HEIF", (1000, 800), 1, False, 110 * MEBIBYTE + (8 + 3.5) * 800_000),
        (FITTED, "AVIF", (1000, 800), 1, False, 50 * MEBIBYTE + (8 + 7) * 800_000),
        (FITTED, "JPEG", (1000, 800), 1, True, 50 * MEBIBYTE + (8 + 4 + 6) * 800_000),
        (FITTED, "JPEG", (1000, 800), 2, False, 50 * MEBIBYTE + (8 + 4) * 200_000),
        (FITTED, "JPEG", (1000, 800), 2, True, 50 * MEBIBYTE + (8 + 4) * 200_000 + 6 * 800_000),
        (FITTED, "PNG", (8192, 4096), 1, False, 50 * MEBIBYTE + 12 * 4096 * 2048 + 4 * 8192 * 4096),
        (NARROW, "PNG", (1000, 500), 1, False, 50 * MEBIBYTE + 12 * 100 * 200 + 4 * 1000 * 500),
        (NARROW, "PNG", (500, 1000), 1, False, 50 * MEBIBYTE + 12 * 100 * 200 + 4 * 1000 * 500),
        (IN_FULL, "PNG", (8192, 4096), 1, False, 50 * MEBIBYTE + (4 + 4) * 8192 * 4096),
        (IN_FULL, "HEIF", (1000, 800), 1, False, 110 * MEBIBYTE + (4 + 3.5) * 800_000),
    ],
)
def test_memory_is_expected_by_format_and_size(
    limits: Limits, name: str, size: Size, shrunk: int, progressive: bool, expected: float
) -> None:
    for memory, fits in ((None, True), (int(expected), True), (int(expected) - 1, False)):
        checked = Limits(limits.pixels, limits.decoded_pixels, memory, fit=limits.fit, in_full=limits.in_full)
        if fits:
            checked.check(name, size, shrunk, progressive=progressive)
        else:
            with pytest.raises(NeedsMemory):
                checked.check(name, size, shrunk, progressive=progressive)
        assert checked.expected_bytes == expected


@pytest.mark.parametrize(
    ("pixels", "decoded", "shrunk", "words"),
    [
        (800_000, 800_000, 1, None),
        (799_999, 800_000, 1, "it has 800,000 pixels; the limit is 799,999"),
        (800_000, 799_999, 1, "it has 800,000 pixels; the limit for an image that must be converted is 799,999"),
        (800_000, 200_000, 2, None),
        (800_000, 199_999, 2, "it has 800,000 pixels; the limit for an image that must be converted is 199,999"),
        (800_000, 12_500, 8, None),
    ],
)
def test_pixels_are_limited_in_the_file_and_as_decoded(
    pixels: int, decoded: int, shrunk: int, words: str | None
) -> None:
    limits = Limits(pixels, decoded, None)
    if words is None:
        limits.check("JPEG", (1000, 800), shrunk)
    else:
        with pytest.raises(Fault) as caught:
            limits.check("JPEG", (1000, 800), shrunk)
        assert (caught.value.kind, caught.value.details) == (ImageTooLarge, words)


@pytest.mark.parametrize(
    ("memory", "expected", "short"),
    [
        (None, 10**12, False),
        (most_memory_bytes(PIXELS), 10**12, False),
        (most_memory_bytes(PIXELS) - 1, 10**12, True),
        (300_000, 100_001, True),
        (300_000, 100_000, False),
        (300_000, 0, False),
    ],
)
def test_a_failure_may_be_a_lack_of_memory_where_much_of_it_was_expected(
    memory: int | None, expected: float, short: bool
) -> None:
    assert Limits(PIXELS, PIXELS, memory, expected).may_be_short_of_memory is short


DAMAGED = "the file is damaged"
CUT_OFF = "the file is cut off or damaged"


@pytest.mark.parametrize(
    ("error", "details"),
    [
        *((kind("x"), CUT_OFF) for kind in (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError)),
        *((kind("x"), DAMAGED) for kind in (TypeError, AttributeError, OverflowError, RuntimeError)),
        *((kind("x"), DAMAGED) for kind in (ZeroDivisionError, AssertionError)),
    ],
    ids=repr,
)
def test_an_exception_of_a_decoder_is_a_damaged_file_or_a_lack_of_memory(error: Exception, details: str) -> None:
    with pytest.raises(Fault) as caught, faults(Limits(PIXELS, PIXELS, None)):
        raise error
    assert (caught.value.kind, caught.value.details) == (InvalidImage, details)
    with pytest.raises(NeedsMemory), faults(Limits(PIXELS, PIXELS, 300, 200)):
        raise error


def test_a_lack_of_memory_and_a_broken_file_are_known_for_certain() -> None:
    with pytest.raises(NeedsMemory), faults(Limits(PIXELS, PIXELS, None)):
        raise MemoryError
    with pytest.raises(Fault, match=r"^the file is cut off$"), faults(Limits(PIXELS, PIXELS, 300, 200)):
        raise Broken("is cut off")


@pytest.mark.parametrize(
    ("width", "format_name", "size", "result"),
    [
        (None, "png", (1000, 500), (1000, 500)),
        (100, "png", (1000, 500), (100, 50)),
        (2000, "png", (1000, 500), (1000, 500)),
        (1, "png", (1000, 3), (1, 1)),
        (None, "jpeg", (65_500, 10), (65_500, 10)),
        (None, "jpeg", (131_000, 10), (65_500, 5)),
        (None, "jpeg", (10, 131_000), (5, 65_500)),
        (None, "webp", (10, 32_766), (5, 16_383)),
        (4, "webp", (10, 32_766), (4, 13_106)),
        (8, "webp", (10, 32_766), (5, 16_383)),
    ],
)
def test_a_target_has_the_aspect_ratio_of_the_image_and_is_never_larger(
    width: int | None, format_name: OutputFormat, size: Size, result: Size
) -> None:
    assert Target(width, format_name).size(size) == result
