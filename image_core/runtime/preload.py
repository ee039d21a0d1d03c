"""What a first generation needs, loaded while nobody waits for it."""

import importlib
import logging

log = logging.getLogger("image_core.app")

MODULES = (
    *("image_core.auth.sessions", "image_core.api.handlers.image", "image_core.components"),
    *("azure.storage.blob.aio", "azure.cosmos.aio", "google.genai"),
)


def preload() -> None:
    """Import them; a second of work on a small machine. In a thread: the interpreter lets others in between."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:  # whoever needs it will be told
            log.warning("%s could not be loaded: %s", name, error)
