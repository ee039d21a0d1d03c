"""`GET /api/models`: what a front end needs to draw its controls, and to say what a press of the button costs."""

from typing import Any, Protocol

from image_core.api.http import Request, Response, json_response
from image_core.api.requests import MAX_PROMPT_CHARACTERS
from image_core.auth.user import User
from image_core.generations.expected import Expected
from image_core.models.catalog import ASPECT_RATIOS, IMAGE_SIZES, MODELS
from image_core.settings import Settings


class Chain(Protocol):
    """`model.chain.ModelChain`."""

    def models(self) -> tuple[str, ...]: ...

    def available(self, model: str) -> bool: ...


class ModelsHandler:
    def __init__(self, chain: Chain, expected: Expected, settings: Settings) -> None:
        self._chain = chain
        self._expected = expected
        self._settings = settings

    async def get(self, request: Request, user: User) -> Response:  # noqa: ARG002 - a handler's signature
        models = self._chain.models()
        body = {"models": [self._model(name, first=name == models[0]) for name in models], "limits": self._limits()}
        # What is available changes from minute to minute, and differs between processes.
        return json_response(200, body, {"Cache-Control": "no-store"})

    def _model(self, name: str, *, first: bool) -> dict[str, Any]:
        known = MODELS.get(name)
        most = self._settings.max_images
        return {
            "id": name,
            # Of a model that is not in the catalog nothing is known: the service decides.
            "aspectRatios": list(ASPECT_RATIOS if known is None else known.aspect_ratios),
            "imageSizes": list(IMAGE_SIZES if known is None else known.image_sizes),
            "maxInputImages": most if known is None else min(most, known.max_input_images),
            "prices": {} if known is None else {size: known.image_price(size) for size in known.image_sizes},
            "default": first,
            "retiresOn": None if known is None or known.retires_on is None else known.retires_on.isoformat(),
            "available": self._chain.available(name),
            "expectedSeconds": self._expected.seconds_of(name),
        }

    def _limits(self) -> dict[str, int]:
        return {
            "maxImages": self._settings.max_images,
            "maxImageBytes": self._settings.max_image_bytes,
            "maxRequestBytes": self._settings.max_request_bytes,
            "maxImagePixels": self._settings.max_image_pixels,
            "maxPromptCharacters": MAX_PROMPT_CHARACTERS,
        }
