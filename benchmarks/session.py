"""What verifying a session costs, warm, beside the bare decryption of the same token."""

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

SECRET = "a development secret, never deployed"  # noqa: S105 - of nothing
ROUNDS = 3000
GOAL_MILLISECONDS = 0.2


def milliseconds(call: Callable[[], object]) -> float:
    """Of one call, the best of five series: what the machine can do, not what else it did."""
    series = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            call()
        series.append((time.perf_counter() - began) / ROUNDS * 1000)
    return min(series)


def verify(sessions: Sessions, header: str) -> None:
    """Run the coroutine by hand: it waits for nothing, and an event loop would be measured with it."""
    try:
        sessions.user({"cookie": header}).send(None)
    except StopIteration:
        return


def rows() -> list[Row]:
    """The table's lines."""
    sessions = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    found = []
    for version in ("v4", "v5"):
        cookies = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC), version=version)
        header = nextauth.cookie_header(cookies)
        found.append(
            Row(f"session {version}", milliseconds(partial(verify, sessions, header)), "ms", GOAL_MILLISECONDS)
        )
    token = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC))["next-auth.session-token"]
    head, _, vector, sealed, tag = token.split(".")
    raw = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (vector, sealed, tag)]
    cipher = AESGCM(v4_key(SECRET))
    bare = milliseconds(lambda: json.loads(cipher.decrypt(raw[0], raw[1] + raw[2], head.encode())))
    return [Row("session: the bare decryption", bare, "ms"), *found]
