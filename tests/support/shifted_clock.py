"""The application at another time of day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from local import nextauth
from tests.support.harness import SECRET, Harness


@dataclass(slots=True)
class Shifted(Harness):
    """The product with another clock on the wall. Its sessions are of that time, too."""

    now: Callable[[], datetime]

    @property
    def cookie(self) -> str:
        user = {**nextauth.DEFAULT_USER, "email": self.email}
        return nextauth.cookie_header(nextauth.session_cookies(SECRET, user, self.now()))
