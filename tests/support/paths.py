"""Folders that tests read from."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
GEMINI_RESPONSES = FIXTURES / "gemini"
IMAGES = FIXTURES / "images"
