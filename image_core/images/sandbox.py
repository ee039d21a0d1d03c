"""Converts untrusted images in a process of their own (the sandbox): a file that crashes its decoder crashes nothing else.

It costs a fraction of a second beside a generation's half minute, and its memory goes back when it ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict

from image_core.errors import Busy, InputError, InvalidImage
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.image import Image, Target
from image_core.images.passthrough import MAX_SIDE
from image_core.images.sandbox_memory import most_memory_bytes
from image_core.runtime.offload import ended

CPU_SECONDS = 15
"""Of processor time for one file. A large photograph takes one to three; a file that was made to take longer is refused."""

WALL_SECONDS = 45.0
"""Until a conversion is given up that does not get the processor: that is no fault of the file."""

PROGRAM = "from image_core.images.sandbox_worker import main; main()"


async def convert_in_sandbox(
    data: bytes,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    *,
    max_side: int = MAX_SIDE,
    target: Target | None = None,
    program: str = PROGRAM,
    cpu_seconds: int = CPU_SECONDS,
    wall_seconds: float = WALL_SECONDS,
) -> Image:
    """`decode.converted`, or with a `target` `decode.rendered`, in another process, which may use `memory_bytes`; by default
    the most that any may.

    Raises Fault; NeedsMemory; Busy where the process cannot be had, or gets no processor time.
    When this returns or raises, cancelled or not, the process has ended.
    """
    most = most_memory_bytes(max_decoded_pixels)
    memory_bytes = most if memory_bytes is None else memory_bytes
    limits = [str(max_pixels), str(max_decoded_pixels), str(memory_bytes), str(max_side)]
    if target is not None:
        limits.append(json.dumps(asdict(target)))
    work = asyncio.ensure_future(_run(limits, data, program, cpu_seconds, wall_seconds))
    try:
        output, code = await asyncio.shield(work)
    except asyncio.CancelledError:
        work.cancel()
        await ended(work)
        raise
    if code == -signal.SIGXCPU:
        raise Fault(InvalidImage, f"it takes more than {cpu_seconds} seconds of processor time to read, the limit")
    if code == -signal.SIGABRT and memory_bytes < most:  # as C++ ends where it gets no memory
        raise NeedsMemory
    return _read(output, code)


async def _run(
    arguments: list[str], data: bytes, program: str, cpu_seconds: int, wall_seconds: float
) -> tuple[bytes, int]:
    """Standard output and exit code of the sandbox. Ends the process in any case."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # What this process imports, wherever the platform put it. No setting and no secret goes along.
            env={
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "PATH": os.environ.get("PATH", ""),
                "MALLOC_ARENA_MAX": "2",  # each arena of a thread would reserve 64 MB of the limit
            },
        )
    except OSError as error:
        raise Busy("No process could be started to convert an image", retry_after=5) from error
    try:
        _limit_processor_time(process.pid, cpu_seconds)
        async with asyncio.timeout(wall_seconds):
            output, _ = await process.communicate(data)
    except TimeoutError:
        raise Busy("An image could not be converted in time", retry_after=5) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return output, process.returncode or 0


def _limit_processor_time(pid: int, seconds: int) -> None:
    """End the process by SIGXCPU after `seconds` of processor time. Linux only; elsewhere the wall time alone is limited."""
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - Windows has no such module

    # It has ended already; or the platform does not allow it, and the wall time alone is limited.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds + 1))


def _read(output: bytes, code: int) -> Image:
    """What the other process answered: a line of JSON, and the bytes of an image behind it."""
    head, found, data = output.partition(b"\n")
    if code != 0 or not found:
        raise Fault(InvalidImage, "the file is damaged")
    answer = json.loads(head)
    if "needsMemory" in answer:
        raise NeedsMemory
    if "fault" in answer:
        kind = next(kind for kind in InputError.__subclasses__() if kind.__name__ == answer["fault"])
        raise Fault(kind, answer["details"])
    return Image(data, answer["mimeType"], answer["width"], answer["height"])
