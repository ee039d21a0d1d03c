"""The Gemini image models: what each can make, what it costs, and until when it is served.

One table. Validation, the fallback chain, expected cost, billing, the OpenAPI document, `GET /api/models`, the
playground and `make doctor` read it. A model that is not in the table works: its price counts as the dearest, and only
the API limits it.

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
"""Width and height of the images that all models but 2.5 flash make in their smallest size; 2K and 4K have two and four
times as many on each side (image-generation, "Aspect ratios and image size")."""

USUAL_SIZE: ImageSize = "1K"
"""What the service makes where no size is asked for."""

CLASSIC: tuple[AspectRatio, ...] = ASPECT_RATIOS[:10]
"""The aspect ratios that every image model makes."""

INPUT_IMAGE_TOKENS = 1120
"""Of one input image, at most (ai.google.dev/gemini-api/docs/media-resolution)."""
THINKING_TOKENS = 2048
"""Allowed for thoughts. Answers have 100 to 500; up to two drafts of 1120 tokens fit too, should the service count
them."""
TEXT_TOKENS = 1024
"""Allowed for the words beside an image: a long paragraph."""

WARNING_DAYS = 30
"""How long before its retirement a model is warned about."""

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One line of the table. Prices are US dollars for a million tokens; thinking is billed as text."""

    input_usd: float
    text_usd: float
    image_usd: float
    image_tokens: Mapping[ImageSize, int] = field(hash=False)
    """Output tokens of an image, by the sizes that the model makes, smallest first."""
    aspect_ratios: tuple[AspectRatio, ...] = CLASSIC
    max_input_images: int = 14
    thinks: bool = True
    retires_on: date | None = None
    """The first day (UTC) on which it is not served; None where no end is announced."""
    successor: str | None = None

    @property
    def image_sizes(self) -> tuple[ImageSize, ...]:
        return tuple(self.image_tokens)

    def tokens_of(self, size: str | None) -> int:
        """Output tokens of one image of `size`; of the largest size where it does not make that one."""
        wanted = size or USUAL_SIZE
        return next((count for name, count in self.image_tokens.items() if name == wanted), None) or max(
            self.image_tokens.values()
        )

    def max_output_tokens(self, size: str | None) -> int:
        """The bound on output that is sent with a call: an image of `size`, what is thought before it, and a
        paragraph."""
        return self.tokens_of(size) + (THINKING_TOKENS if self.thinks else 0) + TEXT_TOKENS

    def cost(self, input_tokens: int, output_by_modality: Mapping[str, int]) -> float:
        """US dollars, to a millionth. Output that is not an image is priced as text."""
        images = output_by_modality.get("IMAGE", 0)
        others = sum(output_by_modality.values()) - images
        dollars = input_tokens * self.input_usd + images * self.image_usd + others * self.text_usd
        return round(dollars / MILLION, 6)

    def image_price(self, size: str | None) -> float:
        """US dollars of the output tokens of one image."""
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

DEFAULT_CHAIN = ("gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image")

DEAREST = max(MODELS.values(), key=lambda model: model.image_usd)
"""What a model that is not in the table is priced as, so that no budget is passed because a model is new."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """A name that is not served any more, or soon will not be."""

    name: str
    on: date
    successor: str | None

    def warning(self) -> str:
        """For a caller whose model it was."""
        return f"model_retired: {self.name} was shut down on {self.on.isoformat()}; {self.successor} takes its place"


@dataclass(frozen=True, slots=True)
class Link:
    """One model of a chain, and the retired name that stands for it, where one does."""

    model: str
    retired: Retirement | None = None


def retirement(name: str, on: date) -> Retirement | None:
    """Set where `name` is not served any more on that day and has a successor."""
    known = MODELS.get(name)
    if known is None or known.retires_on is None or known.successor is None or on < known.retires_on:
        return None
    return Retirement(name, known.retires_on, current(known.successor, on))


def current(name: str, on: date) -> str:
    """The model that a name means on that day: itself, or the successor of a retired one."""
    known = MODELS.get(name)
    while known is not None and known.retires_on is not None and known.successor is not None and on >= known.retires_on:
        name = known.successor
        known = MODELS.get(name)
    return name


def max_input_images(model: str) -> int:
    """Return how many images one call of `model` may hold; of the dearest model where it is not in the table."""
    return MODELS.get(model, DEAREST).max_input_images


def family(model: str) -> str:
    """The models that take one another's turns in a conversation: a model and its preview. Others refuse them."""
    return model.removesuffix("-preview")


def chain(names: Iterable[str], on: date) -> tuple[Link, ...]:
    """The models that the configured names mean on that day, in their order, each once."""
    links: dict[str, Link] = {}
    for name in names:
        model = current(name, on)
        links.setdefault(model, Link(model, retirement(name, on)))
    return tuple(links.values())


def retiring(names: Iterable[str], on: date, days: int = WARNING_DAYS) -> tuple[Retirement, ...]:
    """The names whose retirement is at most `days` away, or past."""
    found = []
    for name in dict.fromkeys(names):
        known = MODELS.get(name)
        if known is not None and known.retires_on is not None and on >= known.retires_on - timedelta(days=days):
            successor = None if known.successor is None else current(known.successor, max(on, known.retires_on))
            found.append(Retirement(name, known.retires_on, successor))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Lack:
    """What a model cannot do of a request: the request's field in the words of the wire, and a sentence."""

    field: str
    sentence: str


def lack(model: str, options: Options, inputs: int) -> Lack | None:
    """Why `model` cannot take a request with these options and so many inputs; None where it can, or is not in the
    table."""
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
    """Return the aspect ratios that each of `models` makes, with their pixels in 1K. Those outside the table make the
    usual ones."""
    known = [MODELS[model].aspect_ratios if model in MODELS else CLASSIC for model in models]
    return {ratio: pixels for ratio, pixels in PIXELS_OF_1K.items() if all(ratio in ratios for ratios in known)}


def lacking_field(models: Iterable[str], options: Options, inputs: int) -> str | None:
    """The field that leaves no model of a chain, None where one can take the request.

    Where no single field does, it is the one that rules out the last of those that the fields before it had left.
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
