"""Compute the memory limits of a sandbox, for the main process and for the sandbox, which do not import each other."""

USUAL_MEMORY_BYTES = 300 * 2**20
"""Usual limit of address space: enough for photographs of 24 megapixels in HEIC and of 61 in JPEG."""


def most_memory_bytes(max_decoded_pixels: int) -> int:
    """Return the limit of address space of the large sandbox: what the largest images of the usual types need."""
    return 100 * 2**20 + 8 * max_decoded_pixels
