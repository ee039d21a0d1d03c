"""Masked edits in pixels: outside the mask no pixel changes, inside is the model's answer."""

import io
import random
from dataclasses import dataclass

import PIL.Image
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import ImageChops, ImageCms, ImageDraw, ImageFilter, ImageOps

from image_core.errors import InvalidImage
from image_core.images.convert import Limits
from image_core.images.fault import Fault, MaskFault
from image_core.images.image import Target
from image_core.images.masked_edit import ComposedEdit, PreparedEdit, prepare_in_sandbox
from image_core.images.masked_edit_pixels import _encoded, compose, prepare
from image_core.images.original import Original
from tests.support.image_files import count_differences, in_eight_bits, profile, saved, unusual_image
from tests.support.paths import IMAGES

SHAPES = {"1:1": (64, 64), "3:2": (72, 48), "2:3": (48, 72), "16:9": (80, 45), "9:16": (45, 80)}
"""As small as the images of these tests, so that their crops are smaller than they are."""
PNG = Target(None, "png")
LIMITS = Limits(100_000_000, 40_000_000, None, in_full=True)

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
PROFILES = {
    "none": None,
    "sRGB": profile(*SRGB),
    "red is green": profile(SRGB[1], SRGB[0], SRGB[2]),
    "P3": profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
    "broken": b"no profile",
}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
}


@dataclass(frozen=True)
class Drawn:
    """A file, its pixels as Pillow reads them, a mask of it, and where the mask says that nothing changes."""

    data: bytes
    upright: PIL.Image.Image
    mask: bytes
    outside: PIL.Image.Image
    icc: bytes | None


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    kind = draw(st.sampled_from(sorted(MODES)))
    mode = draw(st.sampled_from(MODES[kind]))
    size = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    dice = random.Random(draw(st.integers(0, 9)))
    image = noise(dice, size, mode)
    options: dict[str, object] = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    if mode in {"P", "L", "RGB"} and kind == "PNG" and draw(st.booleans()):
        options["transparency"] = {"P": 3, "L": 40, "RGB": (1, 2, 3)}[mode]
    icc = None
    if kind in {"PNG", "JPEG", "WEBP", "TIFF"}:
        icc = PROFILES[draw(st.sampled_from(sorted(PROFILES)))]
        options |= {"icc_profile": icc} if icc else {}
    if kind in {"PNG", "JPEG", "WEBP"}:
        exif = PIL.Image.Exif()
        exif[0x112] = draw(st.integers(1, 8))
        options["exif"] = exif
    data = saved(image, kind, **options)
    upright = ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    factor = draw(st.sampled_from((1, 1, 2, 3)))
    mask = some_mask(draw, (upright.width * factor, upright.height * factor))
    assume(mask.resize(upright.size, PIL.Image.Resampling.BOX).getextrema()[1] == 255)
    outside = ImageChops.invert(mask.resize(upright.size, PIL.Image.Resampling.NEAREST))
    if draw(st.booleans()):
        return Drawn(data, upright, saved(mask, "PNG"), outside, icc)
    see_through = PIL.Image.new("RGBA", mask.size, "white")
    see_through.putalpha(ImageChops.invert(mask))
    return Drawn(data, upright, saved(see_through, "PNG"), outside, icc)


def noise(dice: random.Random, size: tuple[int, int], mode: str) -> PIL.Image.Image:
    raw = dice.randbytes(4 * size[0] * size[1])
    if mode == "1":
        return PIL.Image.frombytes("L", size, raw[: size[0] * size[1]]).convert("1")
    if mode == "P":
        image = PIL.Image.frombytes("P", size, raw[: size[0] * size[1]])
        image.putpalette(dice.randbytes(768))
        return image
    return PIL.Image.frombytes(mode, size, raw[: len(PIL.Image.new(mode, size).tobytes())])


def some_mask(draw: st.DrawFn, size: tuple[int, int]) -> PIL.Image.Image:
    mask = PIL.Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for _ in range(draw(st.integers(1, 3))):
        left, top = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
        box = (left, top, draw(st.integers(left, size[0] - 1)), draw(st.integers(top, size[1] - 1)))
        (pen.ellipse if draw(st.booleans()) else pen.rectangle)(box, fill=255)
    return mask


def answer(size: tuple[int, int], colour: str = "#c81e3c") -> bytes:
    return saved(PIL.Image.new("RGB", size, colour), "PNG")


def edited(data: bytes, mask: bytes, made: bytes | None = None) -> tuple[PreparedEdit, ComposedEdit] | None:
    prepared = prepare(data, mask, SHAPES, 2048, LIMITS)
    if prepared is None:
        return None
    made = made or answer(SHAPES[prepared.crop.aspect_ratio])
    return prepared, compose(data, prepared.mask.data, made, prepared.crop.box, PNG, LIMITS)


@given(drawn())
def test_pixels_outside_the_mask_are_those_of_the_input(file: Drawn) -> None:
    both = edited(file.data, file.mask)
    if both is None:
        assert file.outside.getextrema() == (0, 0)
        return
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    wanted = in_eight_bits(file.upright)
    assert result.format == "PNG"
    assert result.size == file.upright.size == (both[1].image.width, both[1].image.height)
    assert count_differences(result, wanted, file.outside) == 0
    if file.icc is not None and file.icc != PROFILES["broken"] and file.upright.mode in {"RGB", "RGBA"}:
        assert result.info["icc_profile"] == file.icc
    assert both[0].sent.width / both[0].sent.height == pytest.approx(
        SHAPES[both[0].crop.aspect_ratio][0] / SHAPES[both[0].crop.aspect_ratio][1],
        abs=2 / min(both[0].sent.width, both[0].sent.height) + 0.02,
    )


def sample_image(name: str = "coffee.jpg") -> PIL.Image.Image:
    return PIL.Image.open(IMAGES / name).convert("RGB")


def disc(size: tuple[int, int]) -> PIL.Image.Image:
    mask = PIL.Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((size[0] // 3, size[1] // 3, 2 * size[0] // 3, 2 * size[1] // 3), fill=255)
    return mask


def test_inside_the_mask_is_the_answer_and_its_edge_is_mixed() -> None:
    image = sample_image()
    mask = disc(image.size)
    both = edited(saved(image, "PNG"), saved(mask, "PNG"))
    assert both is not None
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    inner = mask.filter(ImageFilter.MinFilter(11))
    assert count_differences(result, PIL.Image.new("RGB", image.size, "#c81e3c"), inner) == 0
    # Two pixels of the region's edge are mixed.
    row = [result.getpixel((x, image.height // 2)) for x in range(image.width // 3, image.width // 3 + 3)]
    assert len(set(row)) == 3
    assert row[2] == (200, 30, 60)


@pytest.mark.parametrize("shift", [(0, 0), (9, -6), (-14, 3)])
def test_shift_of_an_answer_is_corrected(shift: tuple[int, int]) -> None:
    image, shapes = sample_image(), {"3:2": (1264, 848)}
    data, mask = saved(image, "PNG"), saved(disc(image.size), "PNG")
    prepared = prepare(data, mask, shapes, 2048, LIMITS)
    assert prepared is not None
    seen = PIL.Image.open(io.BytesIO(prepared.sent.data)).convert("RGB").resize(shapes["3:2"])
    moved = PIL.Image.new("RGB", seen.size, "gray")
    moved.paste(seen, shift)
    composed = compose(data, prepared.mask.data, saved(moved, "PNG"), prepared.crop.box, PNG, LIMITS)
    assert composed.aligned
    result = PIL.Image.open(io.BytesIO(composed.image.data))
    inside = ImageChops.difference(result, image).convert("L").histogram(disc(image.size))
    assert sum(value * count for value, count in enumerate(inside)) / sum(inside) < 6


def test_answer_of_another_scene_is_reported_and_stays_inside_the_mask() -> None:
    image, shapes = sample_image(), {"3:2": (1264, 848)}
    data, mask = saved(image, "PNG"), disc(image.size)
    prepared = prepare(data, saved(mask, "PNG"), shapes, 2048, LIMITS)
    assert prepared is not None
    other = saved(sample_image("rocket.webp").resize(shapes["3:2"]), "PNG")
    composed = compose(data, prepared.mask.data, other, prepared.crop.box, PNG, LIMITS)
    assert not composed.aligned
    result = PIL.Image.open(io.BytesIO(composed.image.data))
    assert count_differences(result, image, ImageChops.invert(mask)) == 0
    assert count_differences(result, image, mask) > 1000


@pytest.mark.parametrize("name", ["red is green", "P3"])
def test_answer_is_brought_into_the_colours_of_the_input(name: str) -> None:
    image = PIL.Image.new("RGB", (60, 40), (90, 160, 70))
    data = saved(image, "PNG", icc_profile=PROFILES[name])
    prepared = prepare(data, saved(disc(image.size), "PNG"), SHAPES, 2048, LIMITS)
    assert prepared is not None
    # A model that changes nothing: what it saw, in sRGB.
    composed = compose(data, prepared.mask.data, prepared.sent.data, prepared.crop.box, PNG, LIMITS)
    assert PIL.Image.open(io.BytesIO(prepared.sent.data)).convert("RGB").getpixel((5, 5)) != (90, 160, 70)
    middle = PIL.Image.open(io.BytesIO(composed.image.data)).getpixel((30, 20))
    assert isinstance(middle, tuple)
    assert max(abs(a - b) for a, b in zip(middle, (90, 160, 70), strict=True)) <= 2


def test_gray_with_a_profile_keeps_its_values_and_can_be_edited_in_colour() -> None:
    image = PIL.Image.linear_gradient("L").resize((60, 40))
    gray = profile(gray=True, gamma=1.8)
    both = edited(saved(image, "PNG", icc_profile=gray), saved(disc(image.size), "PNG"))
    assert both is not None
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    outside = ImageChops.invert(disc(image.size))
    assert count_differences(result, image.convert("RGB"), outside) == 0
    srgb = ImageCms.createProfile("sRGB")
    meant = ImageCms.profileToProfile(image, io.BytesIO(gray), srgb, outputMode="RGB")
    shown = ImageCms.profileToProfile(result, io.BytesIO(result.info["icc_profile"]), srgb)
    assert meant is not None
    assert shown is not None
    assert max(ImageChops.difference(meant, shown).crop((0, 0, 60, 10)).tobytes()) <= 3
    middle = shown.getpixel((30, 20))
    assert isinstance(middle, tuple)
    assert max(abs(a - b) for a, b in zip(middle, (200, 30, 60), strict=True)) <= 3


@pytest.mark.parametrize(
    ("icc", "kept"),
    [
        (profile((0, 0, 0), (0, 0, 0), (0, 0, 0)), True),  # which no colour leads back from
        (profile(gray=True), False),
        (b"no profile", False),
    ],
    ids=["one way", "of gray", "broken"],
)
def test_profile_that_cannot_be_converted_changes_no_pixel(icc: bytes, kept: bool) -> None:
    image = sample_image().resize((60, 40))
    both = edited(saved(image, "PNG", icc_profile=icc), saved(disc(image.size), "PNG"))
    assert both is not None
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    assert count_differences(result, image, ImageChops.invert(disc(image.size))) == 0
    assert ("icc_profile" in result.info) == kept


def test_edit_of_a_transparent_image_is_opaque_inside_and_has_no_dark_rim() -> None:
    image = PIL.Image.new("RGBA", (60, 40))
    both = edited(saved(image, "PNG"), saved(disc(image.size), "PNG"), answer((72, 48), "#ffffff"))
    assert both is not None
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    assert result.getpixel((30, 20)) == (255, 255, 255, 255)
    assert result.getpixel((2, 2)) == (0, 0, 0, 0)
    assert {pixel[:3] for _, pixel in result.getcolors() or () if isinstance(pixel, tuple) and pixel[3]} == {(255,) * 3}


def test_cmyk_is_edited_in_srgb() -> None:
    both = edited(unusual_image("cmyk.jpg"), saved(disc((300, 200)), "PNG"))
    assert both is not None
    result = PIL.Image.open(io.BytesIO(both[1].image.data))
    assert result.mode == "RGB"
    assert "icc_profile" not in result.info


def test_panorama_is_cut_out_with_its_edges_repeated() -> None:
    image = sample_image().resize((600, 40))
    mask = PIL.Image.new("L", image.size)
    mask.paste(255, (1, 1, 599, 39))
    both = edited(saved(image, "PNG"), saved(mask, "PNG"))
    assert both is not None
    prepared, composed = both
    assert prepared.crop.box.top < 0
    sent = PIL.Image.open(io.BytesIO(prepared.sent.data)).convert("RGB")
    box = prepared.crop.box
    inner = sent.crop((0, -box.top, box.width, -box.top + 40))
    assert count_differences(inner, image.crop((box.left, 0, box.right, 40)), PIL.Image.new("L", inner.size, 255)) == 0
    assert sent.getpixel((300 - box.left, 0)) == image.getpixel((300, 0))
    result = PIL.Image.open(io.BytesIO(composed.image.data))
    assert count_differences(result, image, ImageChops.invert(mask)) == 0
    assert result.getpixel((300, 20)) == (200, 30, 60)


def test_result_has_the_requested_format_and_the_profile_of_the_input() -> None:
    image = sample_image()
    data, mask = saved(image, "PNG", icc_profile=PROFILES["P3"]), saved(disc(image.size), "PNG")
    prepared = prepare(data, mask, SHAPES, 2048, LIMITS)
    assert prepared is not None
    for target in (Target(None, "jpeg", 80), Target(None, "webp", 80)):
        made = answer(SHAPES[prepared.crop.aspect_ratio])
        composed = compose(data, prepared.mask.data, made, prepared.crop.box, target, LIMITS)
        result = PIL.Image.open(io.BytesIO(composed.image.data))
        assert result.format == target.format.upper()
        assert result.size == image.size
        assert result.info["icc_profile"] == PROFILES["P3"]


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (saved(PIL.Image.new("L", (600, 400)), "PNG"), "nothing to edit"),
        (saved(PIL.Image.new("RGBA", (600, 400), (255, 255, 255, 200)), "PNG"), "nothing to edit"),
        (saved(PIL.Image.new("L", (400, 600), 255), "PNG"), "another shape"),
        (b"no image", "not those of an image"),
        (unusual_image("truncated.jpg"), "cut off"),
    ],
)
async def test_unusable_mask_is_a_fault_of_the_mask(mask: bytes, words: str) -> None:
    data = (IMAGES / "coffee.jpg").read_bytes()
    caught = await failing(data, mask)
    assert isinstance(caught, MaskFault)
    assert words in caught.details


async def test_unusable_image_is_no_fault_of_the_mask() -> None:
    not_the_mask = await failing(unusual_image("truncated.jpg"), saved(PIL.Image.new("L", (600, 400), 255), "PNG"))
    assert not isinstance(not_the_mask, MaskFault)
    assert not_the_mask.kind is InvalidImage


async def failing(data: bytes, mask: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        await prepare_in_sandbox(data, 10**8, 10**8, mask=mask, shapes=SHAPES, max_side=2048)
    return caught.value


@pytest.mark.parametrize("full", [PIL.Image.new("L", (300, 200), 255), PIL.Image.new("RGBA", (600, 400))])
async def test_mask_of_the_whole_image_needs_no_crop(full: PIL.Image.Image) -> None:
    data = (IMAGES / "coffee.jpg").read_bytes()
    mask = saved(full, "PNG")
    assert await prepare_in_sandbox(data, 10**8, 10**8, mask=mask, shapes=SHAPES, max_side=2048) is None


def test_crop_that_is_sent_is_no_larger_than_asked() -> None:
    image = sample_image().resize((1800, 1200))
    mask = PIL.Image.new("L", image.size)
    mask.paste(255, (100, 100, 1700, 1100))
    prepared = prepare(saved(image, "JPEG"), saved(mask, "PNG"), SHAPES, 900, LIMITS)
    assert prepared is not None
    assert max(prepared.sent.width, prepared.sent.height) == 900
    assert max(prepared.crop.box.size) > 1600


def test_png_that_is_too_large_to_store_becomes_a_jpeg_of_the_same_size() -> None:
    whole = Original(sample_image(), PROFILES["P3"])
    assert _encoded(whole, PNG).mime_type == "image/png"
    made = _encoded(whole, PNG, max_bytes=100_000)
    result = PIL.Image.open(io.BytesIO(made.data))
    assert (made.mime_type, result.size, result.info["icc_profile"]) == ("image/jpeg", (600, 400), PROFILES["P3"])
