"""What is logged, and what never is: no prompt, image, token, address of a person, or signed URL."""

import logging
import traceback

CHATTY = ("azure", "google_genai", "httpx2", "aiohttp.access")
"""Libraries that tell of every request they make, with its address."""


def quiet_libraries() -> None:
    """Only their warnings are for an operator. A level that somebody has set on purpose stays."""
    for name in CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def where(error: BaseException) -> str:
    """The kind of an unexpected error and the lines it came through, without its message: that may hold what a caller sent."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
