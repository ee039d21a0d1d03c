"""Paint an image from the inputs with Pillow, in a style that the prompt names."""

import io
import math
import random
from collections.abc import Callable, Mapping, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

# Pixels at 1K of 2.5 flash (ai.google.dev/gemini-api/docs/image-generation, aspect ratios and sizes).
FLASH = {
    "1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "3:4": (864, 1184), "4:3": (1184, 864),
    "4:5": (896, 1152), "5:4": (1152, 896), "9:16": (768, 1344), "16:9": (1344, 768), "21:9": (1536, 672),
}  # fmt: skip
FACTORS = {"1K": 1, "2K": 2, "4K": 4}

FRAME = (255, 214, 10)
"""The colour around the small images of earlier turns."""
FRAME_PIXELS = 6
"""The width of that frame, at 1K."""

Sizes = Mapping[str, tuple[int, int]]


def painted(
    inputs: Sequence[bytes],
    prompt: str,
    sizes: Sizes,
    ratio: str | None,
    size: str | None,
    earlier: Sequence[bytes] = (),
    shift: tuple[int, int] = (0, 0),
) -> tuple[bytes, bytes]:
    """Paint two PNGs, a draft and the image: the inputs, in the style that the prompt names.

    The image has the shape `ratio` and `size` times the pixels that `sizes` has for it. The newest of the `earlier`
    images of a conversation is edited, as if it were the first input; each of them is shown, small and framed, in the
    lower left corner. `shift` moves what is painted by so many pixels to the right and down, as models do that are
    asked to edit a part of an image. Raises OSError where an input cannot be read.
    """
    turns = [_opened(data) for data in earlier]
    images = [*turns[-1:], *map(_opened, inputs)]
    base = _together(images, sizes[ratio or _nearest(sizes, images[0] if images else None)])
    draft = base.resize((base.width // 4, base.height // 4)).convert("L")
    words = prompt.lower()
    for manner in [manner for names, manner in MANNERS if any(name in words for name in names)] or [_poster]:
        base = manner(base)
    _show_turns(base, turns)
    factor = FACTORS[size or "1K"]
    if factor > 1:  # paint small and enlarge: painting 16 megapixels would take a minute
        base = base.resize((base.width * factor, base.height * factor), Image.Resampling.BICUBIC)
    return _png(draft), _png(_moved(base, shift))


def _moved(image: Image.Image, shift: tuple[int, int]) -> Image.Image:
    """Return the image with its content moved. The part that it leaves keeps its pixels."""
    if not any(shift):
        return image
    moved = image.copy()
    moved.paste(image, shift)
    return moved


def _opened(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def _show_turns(base: Image.Image, turns: Sequence[Image.Image]) -> None:
    """Paste each image of an earlier turn into the lower left corner, oldest first, in a frame."""
    height, left = base.height // 6, FRAME_PIXELS
    for turn in turns:
        small = turn.resize((height * turn.width // turn.height, height), Image.Resampling.LANCZOS)
        framed = ImageOps.expand(small, FRAME_PIXELS, FRAME)
        base.paste(framed, (left, base.height - framed.height - FRAME_PIXELS))
        left += framed.width + FRAME_PIXELS


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _nearest(sizes: Sizes, first: Image.Image | None) -> str:
    """Return the ratio nearest to that of the first input, which the models choose if none is requested."""
    shape = (first.width / first.height) if first is not None else 1.0
    return min(sizes, key=lambda name: abs(math.log(sizes[name][0] / sizes[name][1] / shape)))


def _together(images: Sequence[Image.Image], canvas: tuple[int, int]) -> Image.Image:
    """Fill the canvas with the first image, and blend the others in from the right, so that each is visible."""
    if not images:
        return Image.radial_gradient("L").resize(canvas).convert("RGB")
    base = ImageOps.fit(images[0], canvas, Image.Resampling.LANCZOS)
    width, height = canvas
    strip = width // (len(images) + 1)
    for place, image in enumerate(images[1:], start=1):
        piece = ImageOps.fit(image, (int(strip * 1.4), height), Image.Resampling.LANCZOS)
        edge = Image.linear_gradient("L").rotate(90).resize((int(strip * 0.4), height))
        mask = Image.new("L", piece.size, 255)
        mask.paste(edge, (0, 0))
        base.paste(piece, (width - strip * (len(images) - place) - int(strip * 0.4), 0), mask)
    return base


def _watercolor(image: Image.Image) -> Image.Image:
    """Paint pale washes with dark edges, on rough paper with a white margin."""
    small = image.resize((image.width // 3, image.height // 3)).filter(ImageFilter.MedianFilter(7))
    for _ in range(2):
        small = small.filter(ImageFilter.ModeFilter(7)).filter(ImageFilter.SMOOTH_MORE)
    wash = ImageEnhance.Color(ImageChops.screen(small, small.point(lambda value: value // 2 + 24))).enhance(1.25)
    rims = ImageOps.invert(wash.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda value: min(110, value * 2)))
    wash = ImageChops.multiply(wash, rims.convert("RGB")).resize(image.size, Image.Resampling.BICUBIC)
    clouds = _clouds(image.size, image.width // 9).point(lambda value: 195 + value // 4)  # pigment collects there
    pale = ImageChops.screen(wash, ImageOps.invert(clouds).convert("RGB"))
    grain = (
        Image.effect_noise(image.size, 24).filter(ImageFilter.GaussianBlur(0.8)).point(lambda value: 212 + value // 4)
    )
    paper = Image.new("RGB", image.size, (252, 249, 241))
    return ImageChops.multiply(Image.composite(pale, paper, _brushed(image.size)), grain.convert("RGB"))


def _clouds(size: tuple[int, int], coarse: int) -> Image.Image:
    """Return an image of soft spots of about `coarse` pixels, with values from 0 to 255."""
    noise = Image.effect_noise((size[0] // coarse + 2, size[1] // coarse + 2), 120)
    return ImageOps.autocontrast(noise.resize(size, Image.Resampling.BICUBIC))


def _brushed(size: tuple[int, int]) -> Image.Image:
    """Return a mask of brush strokes: white in the middle, with ragged ends near the edges."""
    width, height = size
    margin = min(size) // 16
    inside = Image.new("L", size, 0)
    ImageDraw.Draw(inside).rectangle((margin, margin, width - margin, height - margin), fill=255)
    soft = inside.filter(ImageFilter.GaussianBlur(margin * 0.7))
    ragged = Image.blend(soft, Image.blend(_clouds(size, margin * 2), _clouds(size, margin // 3), 0.4), 0.35)
    return ragged.point(lambda value: 255 if value > 118 else 0).filter(ImageFilter.GaussianBlur(1.2))  # noqa: PLR2004 - a shade


def _pencil(image: Image.Image) -> Image.Image:
    gray = ImageOps.autocontrast(image.convert("L"))
    blurred = ImageOps.invert(gray).filter(ImageFilter.GaussianBlur(image.width / 80))
    sketch = ImageChops.add(gray, blurred, scale=1.0).point(lambda value: int(255 * (value / 255) ** 5))
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
    small = image.resize((image.width // 2, image.height // 2)).filter(ImageFilter.MedianFilter(5))
    small = small.quantize(96).convert("RGB").filter(ImageFilter.ModeFilter(7))
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


def _blue(image: Image.Image) -> Image.Image:
    """Turn warm colours blue, and blur everything slightly, like a model that paints the whole image again."""
    hue, saturation, value = image.filter(ImageFilter.GaussianBlur(0.7)).convert("HSV").split()
    turned = hue.point(lambda angle: (angle + 150) % 256)
    return Image.merge("HSV", (turned, saturation.point(lambda level: level * 9 // 10), value)).convert("RGB")


def _pixels(image: Image.Image) -> Image.Image:
    small = image.resize((96, max(1, 96 * image.height // image.width)))
    return small.quantize(24).convert("RGB").resize(image.size, Image.Resampling.NEAREST)


def _poster(image: Image.Image) -> Image.Image:
    """Paint the image if the prompt names no known style."""
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
    (("blue",), _blue),
    (("pencil", "sketch", "drawing"), _pencil),
    (("black and white", "black-and-white", "monochrome", "grayscale", "noir"), _black_and_white),
    (("high contrast", "high-contrast", "dramatic"), _high_contrast),
)
