"""Builds loaders from settings, as the application does, with parts replaced by a test."""

from collections.abc import Mapping

from image_core.images.image import Image
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_scheduler import Convert, Sandboxes
from image_core.inputs.fetcher import Fetcher, FetchPolicy
from image_core.inputs.loader import InputLimits, Loader
from image_core.inputs.owned_urls import OwnedUrls, OwnImages
from image_core.settings import Settings


def make_loader(
    own: OwnedUrls,
    images: OwnImages,
    environment: Mapping[str, str] | None = None,
    *,
    fetcher: Fetcher | None = None,
    convert: Convert[Image] = convert_in_sandbox,
    max_bytes_together: int | None = None,
) -> Loader:
    """Build a loader with the settings in `environment`."""
    settings = Settings.read(environment or {})
    limits = InputLimits(settings.max_image_bytes, settings.max_image_pixels)
    if max_bytes_together is not None:
        limits = InputLimits(limits.max_bytes, limits.max_pixels, max_bytes_together)
    sandboxes = Sandboxes(settings.max_image_pixels, settings.max_decoded_pixels)
    return Loader(limits, own, images, fetcher or Fetcher(FetchPolicy.of(settings)), sandboxes, convert)
