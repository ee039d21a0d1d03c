"""CPU time of verifying a session cookie in a warm process.

Floor: decrypting the same token with a known key, and parsing its JSON. Goal: 0.2 ms for each version of NextAuth. Each
figure is the fastest of five series, so that other programs on the machine count as little as possible.
"""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.table import Row
from image_core.auth.keys import v4_key
from image_core.auth.sessions import Sessions, sessions_from
from image_core.settings import Settings
from local import nextauth

SECRET = "a development secret, never deployed"  # noqa: S105 - it protects nothing
CALLS = 3000
SERIES = 5
GOAL_MS = 0.2


def fastest_ms(call: Callable[[], object]) -> float:
    """Return the milliseconds of one call, from the fastest series."""
    series = []
    for _ in range(SERIES):
        began = time.perf_counter()
        for _ in range(CALLS):
            call()
        series.append((time.perf_counter() - began) / CALLS * 1000)
    return min(series)


def verify(sessions: Sessions, header: str) -> None:
    """Run the coroutine without an event loop, which would be measured too; it never waits."""
    try:
        sessions.user({"cookie": header}).send(None)
    except StopIteration:
        return


def rows() -> list[Row]:
    """Measure the floor and both versions."""
    sessions = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    found = []
    for version in ("v4", "v5"):
        cookies = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC), version=version)
        header = nextauth.cookie_header(cookies)
        found.append(Row(f"session {version}", fastest_ms(partial(verify, sessions, header)), "ms", GOAL_MS))
    token = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC))["next-auth.session-token"]
    head, _, vector, sealed, tag = token.split(".")
    raw = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (vector, sealed, tag)]
    cipher = AESGCM(v4_key(SECRET))
    bare = fastest_ms(lambda: json.loads(cipher.decrypt(raw[0], raw[1] + raw[2], head.encode())))
    return [Row("session: floor (decryption)", bare, "ms"), *found]
