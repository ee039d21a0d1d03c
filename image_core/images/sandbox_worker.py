"""The process that decodes an untrusted image (`apart` starts it). It holds that image and nothing else."""

import contextlib
import json
import os
import sys

from image_core.images.convert import converted, rendered
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.image import Image, Target

NICENESS = 10
"""It takes the processor when others leave it: requests that wait for nothing but an answer go first."""

FIRST_OPTION = 5
"""The place among the arguments of what is not a limit."""


def main() -> None:
    """Limits as arguments, an image on standard input, the answer on standard output: a line of JSON, then the image.

    With a fifth argument, a Target in JSON, the image is rendered (`decode.rendered`), else converted (`decode.converted`).
    """
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
        picture = _made(sys.stdin.buffer.read(), max_pixels, max_decoded_pixels, memory_bytes, max_side)
    except Fault as fault:
        answer = {"fault": fault.kind.__name__, "details": fault.details}
    except NeedsMemory:
        answer = {"needsMemory": True}
    else:
        answer = {"mimeType": picture.mime_type, "width": picture.width, "height": picture.height}
        data = picture.data
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + data)
    sys.stdout.flush()


def _made(data: bytes, max_pixels: int, max_decoded_pixels: int, memory_bytes: int, max_side: int) -> Image:
    if len(sys.argv) > FIRST_OPTION:
        target = Target(**json.loads(sys.argv[FIRST_OPTION]))
        return rendered(data, target, max_pixels, max_decoded_pixels, memory_bytes)
    return converted(data, max_pixels, max_decoded_pixels, memory_bytes, max_side)
