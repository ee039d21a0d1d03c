"""How much memory one sandbox may use. The main process and the sandbox both know it, and neither imports the other."""

USUAL_MEMORY_BYTES = 300 * 2**20
"""Of address space of one sandbox: enough for photographs of 24 megapixels in HEIC and of 61 in JPEG."""


def most_memory_bytes(max_decoded_pixels: int) -> int:
    """Of address space of the one sandbox that may take more than the usual: what the largest images in usual kinds need."""
    return 100 * 2**20 + 8 * max_decoded_pixels
