"""The sandbox: the subprocess that decodes untrusted images. It has the files of one job and no settings or secrets."""

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from image_core.images.convert import Limits, converted, rendered
from image_core.images.fault import Fault, MaskFault, NeedsMemory
from image_core.images.image import Image, Target

NICENESS = 10
"""Scheduling priority below the main process, which answers other requests meanwhile."""

Facts = dict[str, object]


def main() -> None:
    """Do the job that the first argument describes in JSON, with the files on standard input (`run_in_sandbox`).

    The result on standard output is that of `result`.
    """
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    job = json.loads(sys.argv[1])
    # Windows has no such module, and macOS no such limit: there only the pixel limits apply.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - see above

        address_space = job["memoryBytes"] - job.get("reservedBytes", 0)
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    sys.stdout.buffer.writelines(result(job, [sys.stdin.buffer.read(length) for length in job["lengths"]]))
    sys.stdout.flush()


def result(job: Mapping[str, Any], files: Sequence[bytes]) -> list[bytes]:
    """Do a job and return its result: a line of JSON, and the bytes of the images that it describes."""
    try:
        facts, images = JOBS[job["job"]](job, files)
    except Fault as fault:
        return [_line({"fault": fault.kind.__name__, "details": fault.details, "mask": isinstance(fault, MaskFault)})]
    except NeedsMemory:
        return [_line({"needsMemory": True})]
    described = [
        {"mimeType": image.mime_type, "width": image.width, "height": image.height, "length": len(image.data)}
        for image in images
    ]
    return [_line({"facts": facts, "images": described}), *(image.data for image in images)]


def _line(answer: Facts) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _convert(job: Mapping[str, Any], files: Sequence[bytes]) -> tuple[Facts, Sequence[Image]]:
    (data,) = files
    return {}, [converted(data, job["maxPixels"], job["maxDecodedPixels"], job["memoryBytes"], job["maxSide"])]


def _render(job: Mapping[str, Any], files: Sequence[bytes]) -> tuple[Facts, Sequence[Image]]:
    (data,) = files
    target = Target(**job["target"])
    return {}, [rendered(data, target, job["maxPixels"], job["maxDecodedPixels"], job["memoryBytes"])]


def _prepare_edit(job: Mapping[str, Any], files: Sequence[bytes]) -> tuple[Facts, Sequence[Image]]:
    from image_core.images import masked_edit_pixels  # noqa: PLC0415 - only needed for masked edits

    data, mask = files
    prepared = masked_edit_pixels.prepare(data, mask, job["shapes"], job["maxSide"], _in_full(job))
    if prepared is None:
        return {"full": True}, []
    crop = prepared.crop
    facts: Facts = {"full": False, "size": prepared.size, "box": crop.box.edges, "aspectRatio": crop.aspect_ratio}
    return facts, [prepared.sent, prepared.mask]


def _compose_edit(job: Mapping[str, Any], files: Sequence[bytes]) -> tuple[Facts, Sequence[Image]]:
    from image_core.images import masked_edit_pixels  # noqa: PLC0415 - only needed for masked edits
    from image_core.images.region import Box  # noqa: PLC0415 - see above

    data, mask, answer = files
    composed = masked_edit_pixels.compose(data, mask, answer, Box(*job["box"]), Target(**job["target"]), _in_full(job))
    return {"aligned": composed.aligned}, [composed.image]


def _in_full(job: Mapping[str, Any]) -> Limits:
    return Limits(job["maxPixels"], job["maxDecodedPixels"], job["memoryBytes"], in_full=True)


JOBS = {"convert": _convert, "render": _render, "prepare edit": _prepare_edit, "compose edit": _compose_edit}
