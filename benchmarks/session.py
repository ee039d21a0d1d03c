"""What verifying a session costs, warm, beside the bare decryption of the same token: `make bench`."""

import base64
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from image_core.session import Sessions
from image_core.session.keys import v4_key
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


def main() -> int:
    """The exit code: 1 where the goal is missed."""
    sessions = Sessions(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    rows = {}
    for version in ("v4", "v5"):
        cookies = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC), version=version)
        header = nextauth.cookie_header(cookies)
        rows[version] = milliseconds(lambda header=header: verify(sessions, header))  # type: ignore[misc] # a bound default
    token = nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC))["next-auth.session-token"]
    head, _, vector, sealed, tag = token.split(".")
    raw = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (vector, sealed, tag)]
    cipher = AESGCM(v4_key(SECRET))
    floor = milliseconds(lambda: json.loads(cipher.decrypt(raw[0], raw[1] + raw[2], head.encode())))
    for version, cost in rows.items():
        print(
            f"session {version}  {cost:.3f} ms  {cost / floor:.0f} x the bare decryption  (goal {GOAL_MILLISECONDS} ms)"
        )
    return 0 if max(rows.values()) <= GOAL_MILLISECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
