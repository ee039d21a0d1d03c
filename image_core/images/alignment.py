"""Estimate by how many pixels a model shifted the parts of an image that it was not asked to change.

A model generates its whole image again, and can shift it by some pixels. The part outside the mask is known: it is
compared with the input, at growing resolution, for each of a few shifts. The measure is the correlation of the details
(an image minus the blurred image), so that a change of brightness or colour does not count.
"""

import math
from dataclasses import dataclass
from operator import mul

import PIL.Image
from PIL import ImageChops, ImageFilter

COARSE_SIDE = 96
"""The longest side of the images in the first comparison, in pixels, at most."""
COARSE_SHIFT = 5
"""The largest shift that is found, in pixels of the first comparison: 5 % of the crop."""
FINE_SIDE = 1536
"""The longest side of the images in the last comparison, in pixels, at most."""
JUDGED_SIDE = 256
"""The longest side at which the correlation is judged, in pixels. Models change finer details even without a shift."""
DETAIL_RADIUS = 2
"""The radius of the blur, in pixels: larger structures are no details."""

LEAST_DETAIL = 4.0
"""The least mean square of the details, in levels of gray. With less, as in a clear sky, no shift can be measured."""
LEAST_SHARE = 0.01
"""The least share of the pixels that has to be outside the mask for a comparison."""
LEAST_CORRELATION = 0.45
"""The least correlation with which the answer counts as showing the same scene as the input."""
LEAST_GAIN = 0.01
"""By how much a shift has to improve the correlation. Repeated patterns and noise improve it by less."""
SHIFT_COST = 0.001
"""What each pixel of a shift subtracts from the correlation: along a straight edge all shifts correlate equally."""


WHITE = 255
MIDDLE = 128
"""The gray value that stands for no detail."""
SQUARES = tuple(value**2 for value in range(WHITE + 1))
SQUARES_FROM_MIDDLE = tuple((value - MIDDLE) ** 2 for value in range(WHITE + 1))


@dataclass(frozen=True, slots=True)
class Alignment:
    """How an answer lies on the input.

    `shift` is how many pixels of the crop it lies to the right and below; (0, 0) if it is not `aligned`.
    """

    shift: tuple[int, int] = (0, 0)
    aligned: bool = True


def estimate(
    reference: PIL.Image.Image, answer: PIL.Image.Image, kept: PIL.Image.Image, size: tuple[int, int]
) -> Alignment:
    """Compare `answer` with `reference`, where `kept` is white.

    All three show the same crop, which has `size` in the image, in any resolution; they are brought to the same one.
    `kept` is of mode L. Where nothing outside the mask can be compared, the answer counts as aligned.
    """
    finest = min(max(reference.size), max(answer.size), max(size), FINE_SIDE)
    halvings = max(0, math.ceil(math.log2(finest / COARSE_SIDE)))
    shift, aligned, range_of_shifts = (0, 0), True, COARSE_SHIFT
    for level in range(halvings, -1, -1):
        side = max(1, round(finest / 2**level))
        shift = (2 * shift[0], 2 * shift[1])
        compared = _Compared.of(reference, answer, kept, _fitted(size, side))
        if compared is None:
            continue
        shift = compared.best({(0, 0), *_around(shift, range_of_shifts)})
        if max(map(abs, shift)) >= COARSE_SHIFT * side / COARSE_SIDE:
            return Alignment(aligned=False)
        if side <= JUDGED_SIDE:
            aligned = compared.correlation(shift) >= LEAST_CORRELATION
        range_of_shifts = 1
    if not aligned:
        return Alignment(aligned=False)
    scale = max(size) / finest
    return Alignment((round(shift[0] * scale), round(shift[1] * scale)))


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _around(center: tuple[int, int], distance: int) -> list[tuple[int, int]]:
    across = range(center[0] - distance, center[0] + distance + 1)
    return [(x, y) for y in range(center[1] - distance, center[1] + distance + 1) for x in across]


@dataclass(frozen=True, slots=True)
class _Compared:
    """The details of both images in one resolution, and a mask of where they can be compared."""

    reference: PIL.Image.Image
    answer: PIL.Image.Image
    kept: PIL.Image.Image

    @classmethod
    def of(
        cls, reference: PIL.Image.Image, answer: PIL.Image.Image, kept: PIL.Image.Image, size: tuple[int, int]
    ) -> "_Compared | None":
        """Return the details of two images; None if too little is outside the mask, or has no details."""
        # Details beside an edited pixel depend on it, too.
        blurred = kept.resize(size, PIL.Image.Resampling.BOX).filter(ImageFilter.BoxBlur(DETAIL_RADIUS))
        outside = blurred.point(lambda value: WHITE if value == WHITE else 0)
        pixels = outside.histogram()[WHITE]
        if pixels < LEAST_SHARE * size[0] * size[1]:
            return None
        made = cls(_details(reference, size), _details(answer, size), outside)
        if _energy(made.reference.histogram(outside)) / pixels < LEAST_DETAIL:
            return None
        return made

    def best(self, shifts: set[tuple[int, int]]) -> tuple[int, int]:
        """Return the shift with the best correlation; (0, 0) if none is clearly better than no shift."""
        scores = {shift: self.correlation(shift) - SHIFT_COST * math.hypot(*shift) for shift in shifts}
        found = max(scores, key=scores.__getitem__)
        return found if scores[found] >= scores[0, 0] + LEAST_GAIN else (0, 0)

    def correlation(self, shift: tuple[int, int]) -> float:
        """Return the correlation of the details if the answer is moved back by `shift`: 1 if they are the same."""
        (left, right), (top, bottom) = (
            (max(0, -move), length - max(0, move)) for move, length in zip(shift, self.kept.size, strict=True)
        )
        if left >= right or top >= bottom:
            return 0.0
        here = (left, top, right, bottom)
        there = (left + shift[0], top + shift[1], right + shift[0], bottom + shift[1])
        outside = ImageChops.darker(self.kept.crop(here), self.kept.crop(there))
        reference, answer = self.reference.crop(here), self.answer.crop(there)
        first, second = _energy(reference.histogram(outside)), _energy(answer.histogram(outside))
        if not first or not second:
            return 0.0
        apart: float = sum(map(mul, SQUARES, ImageChops.difference(reference, answer).histogram(outside)))
        return (first + second - apart) / (2 * math.sqrt(first * second))


def _details(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    small = image.convert("L").resize(
        size, PIL.Image.Resampling.BOX if size[0] < image.width else PIL.Image.Resampling.BILINEAR
    )
    return ImageChops.subtract(small, small.filter(ImageFilter.BoxBlur(DETAIL_RADIUS)), 1, MIDDLE)


def _energy(histogram: list[int]) -> float:
    energy: float = sum(map(mul, SQUARES_FROM_MIDDLE, histogram))
    return energy
