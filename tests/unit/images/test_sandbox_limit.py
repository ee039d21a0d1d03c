"""The memory limit of the sandbox's process."""

import sys

import pytest

from image_core.images.fault import NeedsMemory
from image_core.images.sandbox import run_in_sandbox
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES
from tests.support.image_files import LIMITS

ALLOCATE = """
from image_core.images import sandbox_worker
from image_core.images.fault import NeedsMemory

def allocate(job, files):
    try:
        bytearray(job["bytes"])
    except MemoryError:
        raise NeedsMemory from None
    return {}, []

sandbox_worker.JOBS["allocate"] = allocate
sandbox_worker.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
async def test_process_gets_no_more_memory_than_its_job_may_use() -> None:
    async def allocate(count: int) -> None:
        job = {"job": "allocate", "bytes": count}
        await run_in_sandbox(job, (b"",), *LIMITS, USUAL_MEMORY_BYTES, program=ALLOCATE)

    await allocate(USUAL_MEMORY_BYTES // 10)
    with pytest.raises(NeedsMemory):
        await allocate(USUAL_MEMORY_BYTES)
