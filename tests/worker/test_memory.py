"""Requests in the real worker use at most the memory that the budget counts, and requests beyond it are refused.

This is the benchmark `make bench ONLY=worker` with its sizes divided by ten.
"""

from benchmarks import programs
from benchmarks.worker import BYTES_PER_MB, INSTANCE_MB, Case, measure
from image_core.runtime.memory_budget import BODIES_SHARE, WORKER_COPIES

LIMIT = INSTANCE_MB * BYTES_PER_MB // 10
CASE = Case("14 requests of 2.8 MB", 2_800_000, 14, 1.0)


def test_waiting_requests_use_the_counted_memory_and_others_are_refused() -> None:
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
