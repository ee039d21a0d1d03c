"""Import what a first generation needs before it is requested."""

import importlib
import logging

log = logging.getLogger("image_core.app")

MODULES = (
    *("image_core.auth.sessions", "image_core.api.handlers.generate", "image_core.components"),
    *("azure.storage.blob.aio", "azure.cosmos.aio", "google.genai"),
)


def preload() -> None:
    """Import the modules: about a second on a small machine. Run it in a thread, beside the event loop."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:  # the request that needs it fails with the reason
            log.warning("%s could not be loaded: %s", name, error)
