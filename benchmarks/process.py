"""What a process has used, as Linux counts it: CPU seconds with those of its ended children, memory, files, threads."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment."""

    resident: int
    files: int
    threads: int


def sample(pid: int) -> Sample:
    files, threads = (sum(1 for _ in Path(f"/proc/{pid}/{name}").iterdir()) for name in ("fd", "task"))
    return Sample(resident_bytes(pid), files, threads)


class Peak:
    """The most memory that a process has while the block runs, looked at every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.most = 0
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.before = self.most = resident_bytes(self._pid)
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while True:
            self.most = max(self.most, resident_bytes(self._pid))
            await asyncio.sleep(0.02)

    @property
    def growth(self) -> int:
        return self.most - self.before
