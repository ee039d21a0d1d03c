"""What a process uses, read from Linux's /proc: CPU time, memory, files, threads."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.02


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of the process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Return the resident memory of the process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment; `resident` in bytes."""

    resident: int
    files: int
    threads: int


def sample(pid: int) -> Sample:
    """Sample a process."""
    files, threads = (sum(1 for _ in Path(f"/proc/{pid}/{name}").iterdir()) for name in ("fd", "task"))
    return Sample(resident_bytes(pid), files, threads)


class Peak:
    """The highest resident memory of a process during the block, sampled every 20 ms, in bytes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.highest = 0
        self._sampling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.before = self.highest = resident_bytes(self._pid)
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sampling is not None:
            self._sampling.cancel()

    @property
    def growth(self) -> int:
        """The highest value minus that before the block."""
        return self.highest - self.before

    async def _sample(self) -> None:
        while True:
            self.highest = max(self.highest, resident_bytes(self._pid))
            await asyncio.sleep(SAMPLE_SECONDS)
