"""Paints the inputs with Pillow as words of the prompt say. Not a model: something to look at that is not the input."""

import io
import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

# Pixels of the shorter way of saying it (ai.google.dev/gemini-api/docs/image-generation, aspect ratios and sizes).
SIZES_1K = {
    "1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "3:4": (864, 1184), "4:3": (1184, 864),
    "4:5": (896, 1152), "5:4": (1152, 896), "9:16": (768, 1344), "16:9": (1344, 768), "21:9": (1536, 672),
}  # fmt: skip
FACTORS = {None: 1, "1K": 1, "2K": 2, "4K": 4}


def painted(inputs: Sequence[bytes], prompt: str, ratio: str | None, size: str | None) -> bytes:
    """A PNG of the inputs, in the manner that the prompt names. Raises OSError where an input cannot be read."""
    pictures = [ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB") for data in inputs]
    canvas = _size(pictures[0] if pictures else None, ratio, size)
    base = _together(pictures, canvas)
    words = prompt.lower()
    manners = [manner for names, manner in MANNERS if any(name in words for name in names)]
    for manner in manners or [_poster]:
        base = manner(base)
    out = io.BytesIO()
    base.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _size(first: Image.Image | None, ratio: str | None, size: str | None) -> tuple[int, int]:
    if ratio is None:
        shape = (first.width / first.height) if first is not None else 1.0
        ratio = min(SIZES_1K, key=lambda name: abs(math.log(SIZES_1K[name][0] / SIZES_1K[name][1] / shape)))
    width, height = SIZES_1K[ratio]
    return width * FACTORS[size], height * FACTORS[size]


def _together(pictures: Sequence[Image.Image], canvas: tuple[int, int]) -> Image.Image:
    """The first picture fills the canvas; the others lean in from the right, so that each is seen to be used."""
    if not pictures:
        return Image.radial_gradient("L").resize(canvas).convert("RGB")
    base = ImageOps.fit(pictures[0], canvas, Image.Resampling.LANCZOS)
    width, height = canvas
    strip = width // (len(pictures) + 1)
    for place, picture in enumerate(pictures[1:], start=1):
        piece = ImageOps.fit(picture, (int(strip * 1.4), height), Image.Resampling.LANCZOS)
        edge = Image.linear_gradient("L").rotate(90).resize((int(strip * 0.4), height))
        mask = Image.new("L", piece.size, 255)
        mask.paste(edge, (0, 0))
        base.paste(piece, (width - strip * (len(pictures) - place) - int(strip * 0.4), 0), mask)
    return base


def _watercolor(image: Image.Image) -> Image.Image:
    small = image.resize((image.width // 3, image.height // 3))
    for _ in range(3):
        small = small.filter(ImageFilter.ModeFilter(5)).filter(ImageFilter.SMOOTH_MORE)
    washed = small.resize(image.size, Image.Resampling.BICUBIC)
    washed = ImageEnhance.Color(ImageEnhance.Brightness(washed).enhance(1.12)).enhance(1.5)
    outline = ImageOps.invert(image.convert("L").filter(ImageFilter.GaussianBlur(2)).filter(ImageFilter.FIND_EDGES))
    ink = outline.point(lambda value: 255 if value > 225 else 190)  # noqa: PLR2004 - a shade of gray
    ink = ink.filter(ImageFilter.GaussianBlur(1)).convert("RGB")
    grain = Image.effect_noise(image.size, 18).point(lambda value: 225 + value // 8).convert("RGB")
    return ImageChops.multiply(ImageChops.multiply(washed, ink), grain)


def _pencil(image: Image.Image) -> Image.Image:
    gray = ImageOps.autocontrast(image.convert("L"))
    blurred = ImageOps.invert(gray).filter(ImageFilter.GaussianBlur(image.width / 80))
    sketch = ImageChops.add(gray, blurred, scale=1.0).point(lambda value: int(255 * (value / 255) ** 3))
    paper = Image.effect_noise(image.size, 14).point(lambda value: 228 + value // 9)
    return ImageOps.colorize(ImageChops.multiply(sketch, paper), (38, 36, 42), (252, 249, 240))


def _cyberpunk(image: Image.Image) -> Image.Image:
    gray = ImageOps.autocontrast(image.convert("L"), cutoff=2)
    neon = ImageOps.colorize(gray, (12, 4, 42), (120, 255, 246), (226, 28, 168))
    edges = gray.filter(ImageFilter.FIND_EDGES).point(lambda value: min(255, value * 3))
    glow = ImageOps.colorize(edges.filter(ImageFilter.GaussianBlur(image.width / 160)), (0, 0, 0), (255, 40, 210))
    red, green, blue = ImageChops.screen(neon, glow).split()
    shift = max(2, image.width // 220)
    shifted = Image.merge("RGB", (ImageChops.offset(red, shift, 0), green, ImageChops.offset(blue, -shift, 0)))
    lines = Image.new("L", image.size, 255)
    draw = ImageDraw.Draw(lines)
    for y in range(0, image.height, 4):
        draw.line((0, y, image.width, y), fill=205)
    return ImageChops.multiply(shifted, lines.convert("RGB"))


def _sunset(image: Image.Image) -> Image.Image:
    sky = Image.linear_gradient("L").resize(image.size)
    warm = ImageOps.colorize(sky, (255, 120, 60), (70, 20, 90), (255, 176, 92))
    lit = ImageChops.soft_light(ImageEnhance.Brightness(image).enhance(0.95), warm)
    return Image.blend(ImageChops.overlay(lit, warm), lit, 0.55)


def _black_and_white(image: Image.Image) -> Image.Image:
    return ImageOps.autocontrast(image.convert("L"), cutoff=1).convert("RGB")


def _high_contrast(image: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(ImageOps.autocontrast(image, cutoff=3)).enhance(1.7)


def _oil(image: Image.Image) -> Image.Image:
    small = image.resize((image.width // 2, image.height // 2)).filter(ImageFilter.ModeFilter(9))
    thick = ImageEnhance.Color(small.resize(image.size, Image.Resampling.BICUBIC)).enhance(1.35)
    relief = image.convert("L").filter(ImageFilter.EMBOSS).convert("RGB")
    return ImageChops.overlay(thick, Image.blend(Image.new("RGB", image.size, (128, 128, 128)), relief, 0.4))


def _snow(image: Image.Image) -> Image.Image:
    cold = ImageOps.colorize(ImageOps.autocontrast(image.convert("L")), (24, 38, 66), (246, 250, 255), (128, 158, 196))
    flakes = Image.new("L", image.size, 0)
    draw, dice = ImageDraw.Draw(flakes), random.Random(7)  # noqa: S311 - snow
    for _ in range(image.width):
        x, y, r = dice.uniform(0, image.width), dice.uniform(0, image.height), dice.uniform(1, image.width / 200)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=dice.randint(120, 255))
    return ImageChops.screen(Image.blend(cold, image, 0.35), flakes.filter(ImageFilter.GaussianBlur(1)).convert("RGB"))


def _pixels(image: Image.Image) -> Image.Image:
    small = image.resize((96, max(1, 96 * image.height // image.width)))
    return small.quantize(24).convert("RGB").resize(image.size, Image.Resampling.NEAREST)


def _poster(image: Image.Image) -> Image.Image:
    """Where the prompt names no manner that is known here."""
    flat = ImageOps.posterize(image.filter(ImageFilter.MedianFilter(5)), 3)
    duotone = ImageOps.colorize(ImageOps.autocontrast(flat.convert("L")), (30, 32, 74), (255, 236, 196), (224, 96, 84))
    return Image.blend(duotone, flat, 0.3)


Manner = Callable[[Image.Image], Image.Image]

MANNERS: tuple[tuple[tuple[str, ...], Manner], ...] = (
    (("watercolor", "watercolour", "aquarell"), _watercolor),
    (("oil paint", "impasto", "van gogh"), _oil),
    (("pixel", "8-bit", "8 bit"), _pixels),
    (("cyberpunk", "neon"), _cyberpunk),
    (("sunset", "golden hour", "dusk"), _sunset),
    (("snow", "winter"), _snow),
    (("pencil", "sketch", "drawing"), _pencil),
    (("black and white", "black-and-white", "monochrome", "grayscale", "noir"), _black_and_white),
    (("high contrast", "high-contrast", "dramatic"), _high_contrast),
)
