"""`GET /api/models`: what a front end needs to draw its controls, and to say what a press of the button costs."""

from typing import Protocol

from image_core.api.http import Request, Response, json_response
from image_core.api.wire.models import Limits, ModelInfo, ModelList
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS
from image_core.auth.user import User
from image_core.generations.durations import Durations
from image_core.models.catalog import ASPECT_RATIOS, IMAGE_SIZES, MODELS
from image_core.settings import Settings


class Chain(Protocol):
    """`model.chain.ModelChain`."""

    def models(self) -> tuple[str, ...]: ...

    def available(self, model: str) -> bool: ...


class ModelsHandler:
    def __init__(self, chain: Chain, durations: Durations, settings: Settings) -> None:
        self._chain = chain
        self._durations = durations
        self._settings = settings

    async def get(self, request: Request, user: User) -> Response:  # noqa: ARG002 - a handler's signature
        names = self._chain.models()
        models = [self._model(name, first=name == names[0]) for name in names]
        return json_response(200, ModelList(models=models, limits=self._limits()).to_wire())

    def _model(self, name: str, *, first: bool) -> ModelInfo:
        known = MODELS.get(name)
        most = self._settings.max_images
        return ModelInfo(
            id=name,
            # Nothing is known of a model that is not in the catalog: its service decides.
            aspect_ratios=list(ASPECT_RATIOS if known is None else known.aspect_ratios),
            image_sizes=list(IMAGE_SIZES if known is None else known.image_sizes),
            max_input_images=most if known is None else min(most, known.max_input_images),
            prices={} if known is None else {size: known.image_price(size) for size in known.image_sizes},
            default=first,
            retires_on=None if known is None else known.retires_on,
            available=self._chain.available(name),
            expected_seconds=self._durations.expected_of(name),
        )

    def _limits(self) -> Limits:
        return Limits(
            max_images=self._settings.max_images,
            max_image_bytes=self._settings.max_image_bytes,
            max_request_bytes=self._settings.max_request_bytes,
            max_image_pixels=self._settings.max_image_pixels,
            max_prompt_characters=MAX_PROMPT_CHARACTERS,
        )
