"""Decoding what strangers sent, in a process of its own: a file that crashes its decoder crashes nobody else's work.

It costs a fraction of a second beside a generation's half minute, and the memory goes back when it is done.
"""

import asyncio
import contextlib
import json
import os
import sys

from image_core.errors import Busy, InputError, InvalidImage
from image_core.inputs.fault import Fault
from image_core.picture import Picture

SECONDS = 15.0
"""A conversion takes one or two; a file that was made to take longer is given up."""
PROGRAM = "from image_core.inputs.decoder import main; main()"


async def converted_apart(data: bytes, max_pixels: int, max_decoded_pixels: int, program: str = PROGRAM) -> Picture:
    """`convert.converted` in another process. Raises Fault; Busy where no process can be had."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            str(max_pixels),
            str(max_decoded_pixels),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # What this process imports, wherever the platform put it. No setting and no secret goes along.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ.get("PATH", "")},
        )
    except OSError as error:
        raise Busy(retry_after=5) from error
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate(data)
    except TimeoutError:
        raise Fault(InvalidImage, "it takes too long to read") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _read(output, process.returncode)


def _read(output: bytes, code: int | None) -> Picture:
    """What the other process answered: a line of JSON, and the bytes of a picture behind it."""
    head, found, data = output.partition(b"\n")
    if code != 0 or not found:
        raise Fault(InvalidImage, "the file is damaged")
    told = json.loads(head)
    if "fault" in told:
        kind = next(kind for kind in InputError.__subclasses__() if kind.__name__ == told["fault"])
        raise Fault(kind, told["details"])
    return Picture(data, told["mimeType"], told["width"], told["height"])
