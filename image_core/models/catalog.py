"""The catalog of the Gemini image models: their capabilities, prices and retirement dates.

One table. Validation, the fallback chain, expected cost, billing, the OpenAPI document, `GET /api/models`, the
playground and `make doctor` read it. A model that is not in the table works: the highest prices count for it, and only
the service limits it.

Dates and successors: ai.google.dev/gemini-api/docs/deprecations. Sizes, aspect ratios and inputs:
ai.google.dev/gemini-api/docs/image-generation. Prices: ai.google.dev/gemini-api/docs/pricing, standard tier. Read
2026-11.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, get_args

from image_core.models.generated import Options

AspectRatio = Literal[
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "1:4", "4:1", "1:8", "8:1"
]
ImageSize = Literal["1K", "2K", "4K"]

ASPECT_RATIOS: tuple[AspectRatio, ...] = get_args(AspectRatio)
IMAGE_SIZES: tuple[ImageSize, ...] = get_args(ImageSize)
PIXELS_OF_1K: Mapping[AspectRatio, tuple[int, int]] = {
    "1:1": (1024, 1024), "2:3": (848, 1264), "3:2": (1264, 848), "3:4": (896, 1200), "4:3": (1200, 896),
    "4:5": (928, 1152), "5:4": (1152, 928), "9:16": (768, 1376), "16:9": (1376, 768), "21:9": (1584, 672),
    "1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384),
}  # fmt: skip
"""Width and height of 1K images of all models but 2.5 flash; 2K and 4K have two and four times as many pixels on each
side (image-generation, "Aspect ratios and image size")."""

USUAL_SIZE: ImageSize = "1K"
"""The size of images for which no size is requested."""

CLASSIC: tuple[AspectRatio, ...] = ASPECT_RATIOS[:10]
"""The aspect ratios that every image model can make."""

INPUT_IMAGE_TOKENS = 1120
"""Maximum tokens of one input image (ai.google.dev/gemini-api/docs/media-resolution)."""
THINKING_TOKENS = 2048
"""Maximum tokens of thoughts. Answers have 100 to 500; two drafts of 1120 tokens would fit as well."""
TEXT_TOKENS = 1024
"""Maximum tokens of the text beside an image: a long paragraph."""

WARNING_DAYS = 30
"""Days before a retirement from which on warnings are given."""

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One model. Prices are US dollars for a million tokens; thinking is billed as text."""

    input_usd: float
    text_usd: float
    image_usd: float
    image_tokens: Mapping[ImageSize, int] = field(hash=False)
    """Output tokens of an image, by the sizes that the model can make, smallest first."""
    aspect_ratios: tuple[AspectRatio, ...] = CLASSIC
    max_input_images: int = 14
    thinks: bool = True
    retires_on: date | None = None
    """The first day (UTC) without service; None where no end is announced."""
    successor: str | None = None

    @property
    def image_sizes(self) -> tuple[ImageSize, ...]:
        """The sizes that the model can make, smallest first."""
        return tuple(self.image_tokens)

    def tokens_of(self, size: str | None) -> int:
        """Return the output tokens of one image of `size`; of the largest size if it cannot make that one."""
        wanted = size or USUAL_SIZE
        return next((count for name, count in self.image_tokens.items() if name == wanted), None) or max(
            self.image_tokens.values()
        )

    def max_output_tokens(self, size: str | None) -> int:
        """Return the output limit that is sent with a call: an image of `size`, thoughts and a paragraph."""
        return self.tokens_of(size) + (THINKING_TOKENS if self.thinks else 0) + TEXT_TOKENS

    def cost(self, input_tokens: int, output_by_modality: Mapping[str, int]) -> float:
        """Return US dollars, rounded to a millionth. Output that is not an image is priced as text."""
        images = output_by_modality.get("IMAGE", 0)
        others = sum(output_by_modality.values()) - images
        dollars = input_tokens * self.input_usd + images * self.image_usd + others * self.text_usd
        return round(dollars / MILLION, 6)

    def image_price(self, size: str | None) -> float:
        """Return the US dollars of the output tokens of one image."""
        return self.cost(0, {"IMAGE": self.tokens_of(size)})


_PRO = ImageModel(2.00, 12.00, 120.00, {"1K": 1120, "2K": 1120, "4K": 2000})

MODELS: Mapping[str, ImageModel] = {
    # GA since 2026-05-28, no end announced. pricing: $0.134 for 1K and 2K, $0.24 for 4K.
    "gemini-3-pro-image": _PRO,
    # GA since 2026-10-06, Google's default. pricing: $0.0336, $0.0504, $0.1134. image-generation: four more aspect
    # ratios.
    "gemini-nano-banana-2.1": ImageModel(
        1.50, 7.50, 30.00, {"1K": 1120, "2K": 1680, "4K": 3780}, aspect_ratios=ASPECT_RATIOS
    ),
    # GA since about 2026-06-30. pricing: $0.0336. image-generation: 1K only, another size is a 400; sources differ on
    # the four long aspect ratios, so they are left to models that are known to make them.
    "gemini-3.1-flash-lite-image": ImageModel(0.25, 1.50, 30.00, {"1K": 1120}),
    # deprecations: shut down 2026-10-29. pricing of that time: $0.067, $0.101, $0.151.
    "gemini-3.1-flash-image": ImageModel(
        0.50,
        3.00,
        60.00,
        {"1K": 1120, "2K": 1680, "4K": 2520},
        aspect_ratios=ASPECT_RATIOS,
        retires_on=date(2026, 10, 29),
        successor="gemini-nano-banana-2.1",
    ),
    # deprecations: shut down 2026-06-25. It was the preview of its successor, at its prices.
    "gemini-3-pro-image-preview": replace(_PRO, retires_on=date(2026, 6, 25), successor="gemini-3-pro-image"),
    # deprecations: shut down 2026-10-02 (one gateway's price map says 2027-03-15; Google's table decides). pricing of
    # that time: $0.039. image-generation: 1K, three inputs, no thinking.
    "gemini-2.5-flash-image": ImageModel(
        0.30,
        2.50,
        30.00,
        {"1K": 1290},
        max_input_images=3,
        thinks=False,
        retires_on=date(2026, 10, 2),
        successor="gemini-3.1-flash-lite-image",
    ),
}

MOST_EXPENSIVE = max(MODELS.values(), key=lambda model: model.image_usd)
"""The model whose prices are used for unknown ones, so that a new model cannot exceed a budget."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """A name that is not served any more, or will not be soon."""

    name: str
    on: date
    successor: str | None

    def warning(self) -> str:
        """Return the warning for a caller that names the model."""
        return f"model_retired: {self.name} was shut down on {self.on.isoformat()}; {self.successor} takes its place"


@dataclass(frozen=True, slots=True)
class Link:
    """One model of a chain, and the retired name by which it was requested or configured, if any."""

    model: str
    retired: Retirement | None = None


def retirement(name: str, on: date) -> Retirement | None:
    """Return the retirement of `name` if it is not served on that day and has a successor."""
    known = MODELS.get(name)
    if known is None or known.retires_on is None or known.successor is None or on < known.retires_on:
        return None
    return Retirement(name, known.retires_on, current(known.successor, on))


def current(name: str, on: date) -> str:
    """Return the model that a name means on that day: itself, or the successor of a retired one."""
    known = MODELS.get(name)
    while known is not None and known.retires_on is not None and known.successor is not None and on >= known.retires_on:
        name = known.successor
        known = MODELS.get(name)
    return name


def max_input_images(model: str) -> int:
    """Return how many images one call of `model` may hold; of the most expensive model where it is not in the table."""
    return MODELS.get(model, MOST_EXPENSIVE).max_input_images


def family(model: str) -> str:
    """Return the family of a model. Only models of one family, one and its preview, accept each other's turns."""
    return model.removesuffix("-preview")


def chain(names: Iterable[str], on: date) -> tuple[Link, ...]:
    """Return the models that the configured names mean on that day, in order, each once."""
    links: dict[str, Link] = {}
    for name in names:
        model = current(name, on)
        links.setdefault(model, Link(model, retirement(name, on)))
    return tuple(links.values())


def retiring(names: Iterable[str], on: date, days: int = WARNING_DAYS) -> tuple[Retirement, ...]:
    """Return the names whose retirement is at most `days` away, or past."""
    found = []
    for name in dict.fromkeys(names):
        known = MODELS.get(name)
        if known is not None and known.retires_on is not None and on >= known.retires_on - timedelta(days=days):
            successor = None if known.successor is None else current(known.successor, max(on, known.retires_on))
            found.append(Retirement(name, known.retires_on, successor))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Lack:
    """What a model cannot do for a request: the field as in the request's JSON, and a sentence."""

    field: str
    sentence: str


def lack(model: str, options: Options, inputs: int) -> Lack | None:
    """Return why `model` cannot serve a request; None where it can, or is not in the catalog."""
    known = MODELS.get(model)
    if known is None:
        return None
    if options.aspect_ratio is not None and options.aspect_ratio not in known.aspect_ratios:
        return Lack("aspectRatio", f"{model} does not make {options.aspect_ratio}")
    if options.image_size is not None and options.image_size not in known.image_sizes:
        return Lack("imageSize", f"{model} makes {' and '.join(known.image_sizes)}, not {options.image_size}")
    if inputs > known.max_input_images:
        return Lack("images", f"{model} takes at most {known.max_input_images} images, not {inputs}")
    return None


def shapes(models: Iterable[str]) -> Mapping[str, tuple[int, int]]:
    """Return the aspect ratios that all `models` can make, with their pixels in 1K; unknown ones make the usual."""
    known = [MODELS[model].aspect_ratios if model in MODELS else CLASSIC for model in models]
    return {ratio: pixels for ratio, pixels in PIXELS_OF_1K.items() if all(ratio in ratios for ratios in known)}


def lacking_field(models: Iterable[str], options: Options, inputs: int) -> str | None:
    """Return the field of a request for which no model of a chain is left; None where one can serve the request.

    If no single field excludes all models, it is the one that excludes the last of those that the earlier fields left.
    """
    left = tuple(models)
    for field_name, part, count in (
        ("aspectRatio", Options(aspect_ratio=options.aspect_ratio), 0),
        ("imageSize", Options(image_size=options.image_size), 0),
        ("images", Options(), inputs),
    ):
        left = tuple(model for model in left if lack(model, part, count) is None)
        if not left:
            return field_name
    return None
