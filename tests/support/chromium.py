"""The browser of the page tests."""

import os
import shutil

import pytest


def chromium() -> str:
    """Return the path of the browser. Without one the test is skipped, but fails in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("Chromium is not on PATH, and CI must not skip these tests")
    if found is None:
        pytest.skip("Chromium is not on PATH: apt-get install chromium")
    return found
