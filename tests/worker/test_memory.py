"""Requests that wait in the real worker hold what the memory budget counts for them, and those beyond it are refused.

The benchmark with its sizes divided by ten: `make bench ONLY=worker` is the whole of it.
"""

from benchmarks import programs
from benchmarks.worker import BYTES_PER_MB, INSTANCE_MB, Case, measure
from image_core.runtime.memory_budget import BODIES_SHARE, WORKER_COPIES

LIMIT = INSTANCE_MB * BYTES_PER_MB // 10
CASE = Case("14 requests of 2.8 MB", 2_800_000, 14, 1.0)


def test_requests_that_wait_hold_what_is_counted_and_the_rest_is_refused() -> None:
    with programs.services() as around:
        measured = measure(around, CASE, LIMIT, latency=8.0)
    accepted = int(LIMIT * BODIES_SHARE / (CASE.size * WORKER_COPIES))
    assert measured["statuses"] == {"200": accepted, "503": CASE.count - accepted}
    assert measured["held"] == accepted
    waiting, highest = (measured[name] - measured["before"] for name in ("waiting", "highest"))
    # The pools and caches of the SDKs grow with the first requests, too.
    slack = 20_000_000
    assert waiting <= accepted * CASE.size * WORKER_COPIES + slack
    assert highest <= LIMIT + slack
