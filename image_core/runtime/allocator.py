"""Make the C library return large blocks of memory to the system as soon as they are freed."""

import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
"""mallopt(3)."""

LARGE_BLOCK_BYTES = 1 * 2**20
"""Smaller blocks are reused from the heap: mapping and clearing the pages of each took a fifth of a small request's
time."""

KEPT_BYTES = 16 * 2**20
"""Free memory that stays at the heap's end: without it the heap would shrink and grow with every request."""


def return_large_blocks() -> bool:
    """Allocate blocks of 1 MB and more with mmap(2), always. Returns False where the C library has no such option.

    By default glibc raises its threshold to the size of the largest block that was freed, up to 32 MB, and takes later
    blocks from the heap, which shrinks only at its end: requests of 28 MB then left twice their size behind
    (docs/performance.md).
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # noqa: PLC0415 - a health check does not need it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
