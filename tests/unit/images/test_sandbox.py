"""The sandbox: its process has a job's files and limits and nothing else, and any end of it has a defined result."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import PIL.Image
import pytest

from image_core.errors import Busy, ImageTooLarge, InvalidImage, UnsupportedImage
from image_core.images import sandbox_worker
from image_core.images.fault import Fault, MaskFault, NeedsMemory
from image_core.images.image import Image, Target
from image_core.images.sandbox import Facts, convert_in_sandbox, run_in_sandbox
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from tests.support.image_files import JPEGS, LIMITS, photo, saved, turned

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processor time and memory are limited on Linux only")
ONE, TWO = Image(b"one", "image/png", 3, 4), Image(b"second", "image/jpeg", 5, 6)

# --- what the process has

DESCRIBE = """
import json, os, sys
files = sys.stdin.buffer.read()
facts = {"job": json.loads(sys.argv[1]), "files": files.hex(), "environment": dict(os.environ)}
print(json.dumps({"facts": facts, "images": []}))
"""


async def described(job: dict[str, object], files: Sequence[bytes], memory_bytes: int | None = None) -> Facts:
    """Return the job, files and names of environment variables that a process of the sandbox has."""
    facts, images = await run_in_sandbox(job, files, 100, 200, memory_bytes, program=DESCRIBE)
    assert images == []
    return facts


@pytest.mark.parametrize(("given", "limit"), [(None, most_memory_bytes(200)), (1234, 1234)])
@pytest.mark.parametrize("files", [(b"a",), (b"one", b"", b"three")], ids=["one file", "files"])
async def test_process_receives_its_job_with_limits_and_files(
    files: tuple[bytes, ...], given: int | None, limit: int
) -> None:
    facts = await described({"job": "any", "x": 1}, files, given)
    lengths = [len(file) for file in files]
    limits = {"maxPixels": 100, "maxDecodedPixels": 200, "memoryBytes": limit}
    assert facts["job"] == {"job": "any", "x": 1, **limits, "lengths": lengths}
    assert bytes.fromhex(facts["files"]) == b"".join(files)


async def test_process_receives_no_settings_or_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTAUTH_SECRET", "secret")
    monkeypatch.setenv("PATH", "/programs")
    environment = (await described({}, (b"",)))["environment"]
    environment.pop("LC_CTYPE", None)  # which Python sets itself
    assert environment.pop("PYTHONPATH")
    assert environment == {"PATH": "/programs", "MALLOC_ARENA_MAX": "2"}


OWN_JOB = """
import os
from image_core.images import sandbox_worker
from image_core.images.fault import NeedsMemory

def allocate(job, files):
    try:
        bytearray(job["bytes"])
    except MemoryError:
        raise NeedsMemory from None
    return {"niceness": os.nice(0)}, []

sandbox_worker.JOBS["allocate"] = allocate
sandbox_worker.main()
"""


@LINUX
@pytest.mark.parametrize("reserved", [0, USUAL_MEMORY_BYTES // 2])
async def test_process_gets_no_more_memory_than_its_job_may_use(reserved: int) -> None:
    async def allocate(count: int) -> None:
        job = {"job": "allocate", "bytes": count, "reservedBytes": reserved}
        await run_in_sandbox(job, (b"",), *LIMITS, USUAL_MEMORY_BYTES, program=OWN_JOB)

    await allocate(USUAL_MEMORY_BYTES // 10)
    with pytest.raises(NeedsMemory):
        await allocate(USUAL_MEMORY_BYTES - reserved)


@LINUX
async def test_process_has_a_lower_priority() -> None:
    facts, _ = await run_in_sandbox({"job": "allocate", "bytes": 1}, (b"",), *LIMITS, program=OWN_JOB)
    assert facts["niceness"] == min(19, os.nice(0) + sandbox_worker.NICENESS)


# --- how it ends


async def ended(program: str, memory_bytes: int | None = None) -> tuple[Facts, list[Image]]:
    return await run_in_sandbox({}, (b"",), *LIMITS, memory_bytes, program=program)


def printed(head: dict[str, object], body: bytes = b"") -> str:
    """Return a program that writes a line of JSON and bytes."""
    return f"import sys; sys.stdout.buffer.write({json.dumps(head).encode() + bytes((10,)) + body!r})"


async def test_result_is_facts_and_images() -> None:
    images = [
        {"mimeType": image.mime_type, "width": image.width, "height": image.height, "length": len(image.data)}
        for image in (ONE, TWO)
    ]
    program = printed({"facts": {"a": [1]}, "images": images}, ONE.data + TWO.data)
    assert await ended(program) == ({"a": [1]}, [ONE, TWO])


@pytest.mark.parametrize(
    ("mask", "kind"), [({}, Fault), ({"mask": False}, Fault), ({"mask": True}, MaskFault)], ids=str
)
async def test_fault_of_the_process_is_raised(mask: dict[str, object], kind: type[Fault]) -> None:
    with pytest.raises(Fault) as caught:
        await ended(printed({"fault": "UnsupportedImage", "details": "why", **mask}))
    assert type(caught.value) is kind
    assert (caught.value.kind, caught.value.details) == (UnsupportedImage, "why")


@pytest.mark.parametrize(
    "program",
    [
        "pass",
        "print('{', end='')",
        f"print('x' * {sandbox_worker.NICENESS * 10_000})",
        f"{printed({'facts': {}, 'images': []})}; sys.exit(3)",
        "raise ValueError",
    ],
    ids=["no output", "no line", "a long line", "an exit code", "an exception"],
)
async def test_process_without_a_result_means_a_damaged_file(program: str) -> None:
    with pytest.raises(Fault) as caught:
        await ended(program)
    assert (caught.value.kind, caught.value.details) == (InvalidImage, "the file is damaged")


@LINUX
async def test_process_that_aborts_needs_more_memory_where_it_had_less_than_the_maximum() -> None:
    abort, most = "import os; os.abort()", most_memory_bytes(LIMITS[1])
    for memory in (USUAL_MEMORY_BYTES, most - 1):
        with pytest.raises(NeedsMemory):
            await ended(abort, memory)
    for maximum in (most, None):
        with pytest.raises(Fault) as caught:
            await ended(abort, maximum)
        assert caught.value.kind is InvalidImage


@LINUX
async def test_conversion_has_the_memory_that_it_is_given() -> None:
    with pytest.raises(NeedsMemory):
        await convert_in_sandbox(b"x", *LIMITS, USUAL_MEMORY_BYTES, program="import os; os.abort()")


async def test_process_may_say_that_it_needs_more_memory() -> None:
    with pytest.raises(NeedsMemory):
        await ended(printed({"needsMemory": True}))


@LINUX
async def test_processor_time_of_the_process_is_limited() -> None:
    program = "import json, resource, sys; sys.stdin.read(); limits = resource.getrlimit(resource.RLIMIT_CPU);"
    program += " print(json.dumps({'facts': {'limits': limits}, 'images': []}))"
    facts, _ = await run_in_sandbox({}, (b"",), *LIMITS, program=program, cpu_seconds=7)
    assert facts == {"limits": [7, 8]}


async def test_file_that_takes_too_much_processor_time_is_refused_with_the_limit() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)"
    with pytest.raises(Fault) as caught:
        await convert_in_sandbox(b"x", *LIMITS, program=program, cpu_seconds=7)
    assert caught.value.kind is InvalidImage
    assert "more than 7 seconds of processor time" in caught.value.details


async def test_process_without_processor_time_is_busy_and_not_an_invalid_file() -> None:
    with pytest.raises(Busy) as caught:
        await convert_in_sandbox(b"x", *LIMITS, program="import time; time.sleep(60)", wall_seconds=0.2)
    assert caught.value.retry_after == 5


async def test_process_that_cannot_be_started_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(Busy) as caught:
        await ended("pass")
    assert caught.value.retry_after == 5


async def test_canceled_conversion_ends_its_process() -> None:
    read, write = os.pipe()
    program = (
        f"import os, time; print(os.getpid(), file=open('/proc/{os.getpid()}/fd/{write}', 'w'), flush=True);"
        " time.sleep(60)"
    )
    try:
        converting = asyncio.create_task(convert_in_sandbox(b"x", *LIMITS, program=program))
        pid = int(await asyncio.to_thread(os.read, read, 100))
    finally:
        os.close(read)
        os.close(write)
    converting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await converting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- jobs

COMMON = {"maxPixels": 10**6, "maxDecodedPixels": 10**6, "memoryBytes": 10**9}


def done(job: dict[str, object], *files: bytes) -> tuple[dict[str, Any], bytes]:
    """Do a job in this process; return the line of its result and the bytes of its images."""
    line, *images = sandbox_worker.result({**COMMON, **job}, files)
    assert line.endswith(b"\n")
    return json.loads(line), b"".join(images)


def test_job_converts_to_at_most_a_side() -> None:
    answer, data = done({"job": "convert", "maxSide": 50}, turned(200))
    described = {"mimeType": "image/jpeg", "width": 50, "height": 50, "length": len(data)}
    assert answer == {"facts": {}, "images": [described]}


def test_job_renders_a_target() -> None:
    target = {"width": 20, "format": "webp", "quality": 50}
    answer, data = done({"job": "render", "target": target}, JPEGS["baseline"])
    described = {"mimeType": "image/webp", "width": 20, "height": 15, "length": len(data)}
    assert answer == {"facts": {}, "images": [described]}


@pytest.mark.parametrize(
    ("job", "limits", "fault"),
    [
        ("convert", {"maxPixels": 39_999}, ImageTooLarge),
        ("convert", {"maxDecodedPixels": 39_999}, ImageTooLarge),
        ("render", {"maxPixels": 39_999}, ImageTooLarge),
        ("render", {"maxDecodedPixels": 39_999}, ImageTooLarge),
    ],
)
def test_job_refuses_what_is_beyond_its_limits(job: str, limits: dict[str, object], fault: type[Exception]) -> None:
    target = {"width": None, "format": "png", "quality": 90}
    answer, data = done({"job": job, "maxSide": 4096, "target": target, **limits}, turned(200))
    assert (answer["fault"], answer["mask"], data) == (fault.__name__, False, b"")
    assert "39,999" in answer["details"]


@pytest.mark.parametrize("job", ["convert", "render"])
def test_job_may_need_more_memory_than_it_has(job: str) -> None:
    target = {"width": None, "format": "png", "quality": 90}
    answer, data = done({"job": job, "maxSide": 4096, "target": target, "memoryBytes": 10**6}, turned(200))
    assert (answer, data) == ({"needsMemory": True}, b"")


MASK = PIL.Image.new("L", (200, 200))
MASK.paste(255, (80, 80, 120, 120))
PHOTO, ONE_SHAPE = saved(photo(size=(200, 200)), "PNG"), {"any": (64, 64)}


def test_job_prepares_an_edit() -> None:
    answer, data = done({"job": "prepare edit", "shapes": ONE_SHAPE, "maxSide": 50}, PHOTO, saved(MASK, "PNG"))
    facts, (sent, mask) = answer["facts"], answer["images"]
    assert facts == {"full": False, "size": [200, 200], "box": [32, 32, 168, 168], "aspectRatio": "any"}
    assert (sent["width"], sent["height"], mask["width"], mask["height"]) == (50, 50, 200, 200)
    assert len(data) == sent["length"] + mask["length"]


def test_job_prepares_nothing_where_all_of_the_image_is_edited() -> None:
    full = saved(PIL.Image.new("L", (200, 200), 255), "PNG")
    answer, data = done({"job": "prepare edit", "shapes": ONE_SHAPE, "maxSide": 50}, PHOTO, full)
    assert (answer, data) == ({"facts": {"full": True}, "images": []}, b"")


COMPOSE: dict[str, object] = {
    "job": "compose edit",
    "box": (32, 32, 168, 168),
    "target": {"width": None, "format": "jpeg", "quality": 5},
}


@pytest.mark.parametrize(
    ("answer", "aligned"),
    [(photo(size=(200, 200)).crop((32, 32, 168, 168)), True), (photo(size=(200, 200)).rotate(90), False)],
    ids=["the same scene", "another scene"],
)
def test_job_composes_an_edit(answer: PIL.Image.Image, aligned: bool) -> None:
    made, data = done(COMPOSE, PHOTO, saved(MASK, "PNG"), saved(answer, "PNG"))
    described = {"mimeType": "image/jpeg", "width": 200, "height": 200, "length": len(data)}
    assert made == {"facts": {"aligned": aligned}, "images": [described]}
    assert len(data) < 3000  # of such a quality


PREPARE: dict[str, object] = {"job": "prepare edit", "shapes": ONE_SHAPE, "maxSide": 50}


@pytest.mark.parametrize("job", [PREPARE, COMPOSE], ids=lambda job: str(job["job"]))
def test_job_of_an_edit_keeps_its_limits(job: dict[str, object]) -> None:
    small = saved(PIL.Image.new("RGB", (2, 2)), "PNG")
    files = (PHOTO, saved(MASK, "PNG"), *([small] if job is COMPOSE else []))
    for name in ("maxPixels", "maxDecodedPixels"):
        assert done({**job, name: 39_999}, *files)[0]["fault"] == "ImageTooLarge"
    # Of the image in its own size: 50 MiB, and eight bytes for each pixel.
    for missing, enough in ((0, True), (1, False)):
        answer, _ = done({**job, "memoryBytes": 50 * 2**20 + 8 * 200 * 200 - missing}, *files)
        assert ("needsMemory" not in answer) is enough


@pytest.mark.parametrize("target", [None, Target(20, "webp", 50)], ids=["convert", "render"])
async def test_sandbox_converts_or_renders(target: Target | None) -> None:
    made = await convert_in_sandbox(turned(200), *LIMITS, max_side=50, target=target)
    assert (made.mime_type, made.width, made.height) == (
        ("image/jpeg", 50, 50) if target is None else ("image/webp", 20, 20)
    )
