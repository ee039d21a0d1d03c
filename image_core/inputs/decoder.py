"""The process that decodes what a stranger sent (`apart` starts it): it holds one image, and nothing else of anybody's."""

import contextlib
import json
import os
import sys

from image_core.inputs.decode import converted
from image_core.inputs.fault import Fault

MAX_MEMORY_BYTES = 2_000_000_000
"""Of address space: several times what 40 megapixels take."""


NICENESS = 10
"""It takes the processor when others leave it: requests that wait for nothing but an answer go first."""


def main() -> None:
    """Limits as arguments, an image on standard input, the answer on standard output: a line of JSON, then the picture."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    # Windows has no such module and macOS does not know this limit: there the pixel limits alone hold.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - see above

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    max_pixels, max_decoded_pixels = map(int, sys.argv[1:3])
    try:
        picture = converted(sys.stdin.buffer.read(), max_pixels, max_decoded_pixels)
    except Fault as fault:
        answer, data = {"fault": fault.kind.__name__, "details": fault.details}, b""
    else:
        answer = {"mimeType": picture.mime_type, "width": picture.width, "height": picture.height}  # type: ignore[dict-item] # numbers beside a word
        data = picture.data
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + data)
    sys.stdout.flush()
