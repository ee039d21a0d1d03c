"""Decode and encode untrusted images in a subprocess (the sandbox), so that a crash of a decoder affects nothing else.

Starting it takes a fraction of a second, compared with half a minute for a generation. Its memory is freed when it
ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict, Unpack

from image_core.errors import Busy, InputError, InvalidImage
from image_core.images.fault import Fault, MaskFault, NeedsMemory
from image_core.images.image import Image, Target
from image_core.images.passthrough import MAX_SIDE
from image_core.images.sandbox_memory import most_memory_bytes
from image_core.runtime.offload import ended

CPU_SECONDS = 15
"""Maximum processor time for one file. A large photograph takes one to three seconds."""

WALL_SECONDS = 45.0
"""Maximum time of a job, for example on a busy machine: exceeding it is not the fault of the file."""

MAX_HEAD_BYTES = 65_536
"""Maximum length of the line of JSON in the result."""

PROGRAM = "from image_core.images.sandbox_worker import main; main()"


Facts = dict[str, Any]
"""The values that a job returns beside its images."""


class ProgramLimits(TypedDict, total=False):
    """The program of the sandbox and its time limits, which tests and benchmarks change."""

    program: str
    cpu_seconds: int
    wall_seconds: float


async def convert_in_sandbox(
    data: bytes,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    *,
    max_side: int = MAX_SIDE,
    target: Target | None = None,
    **limits: Unpack[ProgramLimits],
) -> Image:
    """Convert an image (`convert.converted`), or make a rendition of it (`convert.rendered`) where `target` is given.

    Raises what `run_in_sandbox` does.
    """
    job: dict[str, object] = {"job": "convert", "maxSide": max_side}
    if target is not None:
        job = {"job": "render", "target": asdict(target)}
    _, (image,) = await run_in_sandbox(job, (data,), max_pixels, max_decoded_pixels, memory_bytes, **limits)
    return image


async def run_in_sandbox(
    job: Mapping[str, object],
    files: Sequence[bytes],
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    *,
    program: str = PROGRAM,
    cpu_seconds: int = CPU_SECONDS,
    wall_seconds: float = WALL_SECONDS,
) -> tuple[Facts, list[Image]]:
    """Run a job of `sandbox_worker.JOBS` in a subprocess that may use `memory_bytes`; by default the maximum.

    Raises Fault, MaskFault; NeedsMemory; Busy where the process cannot be started, or does not get processor time.
    When this returns or raises, cancelled or not, the process has ended.
    """
    most = most_memory_bytes(max_decoded_pixels)
    memory_bytes = most if memory_bytes is None else memory_bytes
    limits = {"maxPixels": max_pixels, "maxDecodedPixels": max_decoded_pixels, "memoryBytes": memory_bytes}
    described = json.dumps({**job, **limits, "lengths": [len(file) for file in files]})
    work = asyncio.ensure_future(_run(described, files, program, cpu_seconds, wall_seconds))
    try:
        output, code = await asyncio.shield(work)
    except asyncio.CancelledError:
        work.cancel()
        await ended(work)
        raise
    if code == -signal.SIGXCPU:
        raise Fault(InvalidImage, f"it takes more than {cpu_seconds} seconds of processor time to read, the limit")
    if code == -signal.SIGABRT and memory_bytes < most:  # how C++ programs end without memory
        raise NeedsMemory
    return _read(output, code)


async def _run(
    job: str, files: Sequence[bytes], program: str, cpu_seconds: int, wall_seconds: float
) -> tuple[bytes, int]:
    """Return standard output and exit code of the sandbox. The process has ended afterwards, also on errors."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            job,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # The import path of this process. Settings and secrets are not passed on.
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
            output, _ = await process.communicate(files[0] if len(files) == 1 else b"".join(files))
    except TimeoutError:
        raise Busy("An image could not be converted in time", retry_after=5) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return output, process.returncode or 0


def _limit_processor_time(pid: int, seconds: int) -> None:
    """Limit processor time to `seconds`, ending by SIGXCPU. On Linux only; elsewhere the wall time is limited."""
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - Windows has no such module

    # The process has ended already; or the platform forbids it, and only the wall time is limited.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds + 1))


def _read(output: bytes, code: int) -> tuple[Facts, list[Image]]:
    """Parse the result of the subprocess: a line of JSON, and the bytes of its images."""
    head, found, _ = output[:MAX_HEAD_BYTES].partition(b"\n")
    if code != 0 or not found:
        raise Fault(InvalidImage, "the file is damaged")
    answer = json.loads(head)
    if "needsMemory" in answer:
        raise NeedsMemory
    if "fault" in answer:
        kind = next(kind for kind in InputError.__subclasses__() if kind.__name__ == answer["fault"])
        raise (MaskFault if answer.get("mask") else Fault)(kind, answer["details"])
    images, at = [], len(head) + 1
    for image in answer["images"]:
        end = at + image["length"]
        images.append(Image(output[at:end], image["mimeType"], image["width"], image["height"]))
        at = end
    return answer["facts"], images
