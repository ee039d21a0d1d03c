"""What is logged, and what never is: no prompt, image, token, address of a person, or signed URL."""

import traceback


def where(error: BaseException) -> str:
    """The kind of an unexpected error and the lines it came through, without its message: that may hold what a caller sent."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
