"""`GET /api/models`: the models with their options, prices and expected durations, and the limits of a request."""

from image_core.api.handlers.ports import Chain, Durations
from image_core.api.http import Request, Response, json_response
from image_core.api.wire.models import Limits, ModelInfo, ModelList
from image_core.auth.user import User
from image_core.models.catalog import ASPECT_RATIOS, IMAGE_SIZES, MODELS


class ListModels:
    """Lists the models of the chain, and the limits of a request."""

    def __init__(self, chain: Chain, durations: Durations, limits: Limits) -> None:
        self._chain = chain
        self._durations = durations
        self._limits = limits

    async def handle(self, request: Request, user: User) -> Response:  # noqa: ARG002 - UserHandler
        """Return the list; which models are available differs between processes and changes from minute to minute."""
        names = self._chain.models()
        models = [self._model(name, first=name == names[0]) for name in names]
        return json_response(200, ModelList(models=models, limits=self._limits).to_wire())

    def _model(self, name: str, *, first: bool) -> ModelInfo:
        known = MODELS.get(name)
        most = self._limits.max_images
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
