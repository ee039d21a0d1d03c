"""The application at another time of day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from local import nextauth
from tests.support.harness import SECRET, Harness


@dataclass(slots=True)
class Shifted(Harness):
    """The application with another wall clock, and sessions of that time."""

    now: Callable[[], datetime]

    @property
    def cookie(self) -> str:
        """The Cookie header of a session that begins now."""
        user = {**nextauth.DEFAULT_USER, "email": self.email}
        return nextauth.cookie_header(nextauth.session_cookies(SECRET, user, self.now()))
