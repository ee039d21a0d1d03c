"""Estimate by how much a model moved what it was not asked to change.

A model paints its whole image again, and can shift it by some pixels on the way. The part outside the mask is known:
it is compared, at growing resolution, with the input moved by each of a few shifts. What is compared are details (an
image minus its blurred self), so that a change of brightness or colour does not count, by their correlation.
"""

import math
from dataclasses import dataclass
from operator import mul

import PIL.Image
from PIL import ImageChops, ImageFilter

COARSE_SIDE = 96
"""Pixels of the longest side, at most, of the first comparison."""
COARSE_SHIFT = 5
"""Pixels of it: the largest shift that is found, 5 % of the crop."""
FINE_SIDE = 1536
"""The most pixels of the longest side that are compared."""
JUDGED_SIDE = 256
"""At this resolution at most the correlation is judged: finer details are the model's own even where nothing moved."""
DETAIL_RADIUS = 2
"""Pixels. What is larger than this is not compared."""

LEAST_DETAIL = 4.0
"""Mean square of the details, in levels of gray. Below it, as in a clear or grainy sky, no shift can be seen."""
LEAST_SHARE = 0.01
"""Of the pixels that must be outside the mask. Below it there is nothing to compare."""
LEAST_CORRELATION = 0.45
"""Of the details of the input and of the answer, so that they are taken for the same scene."""
LEAST_GAIN = 0.01
"""Of the correlation, by which a shift must be better than none. Repeated patterns and noise give less."""
SHIFT_COST = 0.001
"""Of the correlation, for each pixel: along a straight edge every shift is as good as none."""


WHITE = 255
MIDDLE = 128
"""The gray of no detail."""
SQUARES = tuple(value**2 for value in range(WHITE + 1))
SQUARES_FROM_MIDDLE = tuple((value - MIDDLE) ** 2 for value in range(WHITE + 1))


@dataclass(frozen=True, slots=True)
class Alignment:
    """`shift`: how many pixels of the crop the answer lies to the right and below; (0, 0) where it is not aligned."""

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
    """The details of both images, in one resolution, and where they can be compared."""

    reference: PIL.Image.Image
    answer: PIL.Image.Image
    kept: PIL.Image.Image

    @classmethod
    def of(
        cls, reference: PIL.Image.Image, answer: PIL.Image.Image, kept: PIL.Image.Image, size: tuple[int, int]
    ) -> "_Compared | None":
        """None where too little is outside the mask, or has no details."""
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
        """Return the shift with the best correlation; none where it is hardly better."""
        scores = {shift: self.correlation(shift) - SHIFT_COST * math.hypot(*shift) for shift in shifts}
        found = max(scores, key=scores.__getitem__)
        return found if scores[found] >= scores[0, 0] + LEAST_GAIN else (0, 0)

    def correlation(self, shift: tuple[int, int]) -> float:
        """Of the details, 1 where they are the same, with the answer's moved back by `shift`."""
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
