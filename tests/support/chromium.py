"""The browser of the page tests."""

import os
import shutil

import pytest


def chromium() -> str:
    """Where the browser is. A developer may be without one; the gate may not."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("Chromium is not on PATH, and CI must not skip what it checks")
    if found is None:
        pytest.skip("Chromium is not on PATH: apt-get install chromium")
    return found
