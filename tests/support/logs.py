"""What a test finds in the log."""

import pytest


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the first line of each message in the log, and the id of the generation that it names."""
    return [(each.getMessage().splitlines()[0], getattr(each, "generation", "")) for each in caplog.records]
