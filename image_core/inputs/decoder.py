"""The process that decodes an untrusted image (`apart` starts it). It holds that image and nothing else."""

import contextlib
import json
import os
import sys

from image_core.inputs.decode import converted
from image_core.inputs.fault import Fault, NeedsMemory

NICENESS = 10
"""It takes the processor when others leave it: requests that wait for nothing but an answer go first."""


def main() -> None:
    """Limits as arguments, an image on standard input, the answer on standard output: a line of JSON, then the picture."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    max_pixels, max_decoded_pixels, memory_bytes, max_side = map(int, sys.argv[1:5])
    # Windows has no such module and macOS does not know this limit: there the pixel limits alone hold.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - see above

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    answer: dict[str, object]
    data = b""
    try:
        picture = converted(sys.stdin.buffer.read(), max_pixels, max_decoded_pixels, memory_bytes, max_side)
    except Fault as fault:
        answer = {"fault": fault.kind.__name__, "details": fault.details}
    except NeedsMemory:
        answer = {"needsMemory": True}
    else:
        answer = {"mimeType": picture.mime_type, "width": picture.width, "height": picture.height}
        data = picture.data
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + data)
    sys.stdout.flush()
