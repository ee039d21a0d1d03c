"""Our Functions host, which writes a sample of itself once a second.

`python -m benchmarks.sampled_host --port 7071 --samples FILE`. Each line of FILE is a JSON object: `seconds` since the
start, `resident` bytes, `files`, `threads`, the number of `tasks` of the event loop, and their numbers by coroutine
(`kinds`).
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from benchmarks.process import sample
from local import config
from local.functions_host.app import load
from local.functions_host.host import serve

INTERVAL_SECONDS = 1.0


def command(port: int, samples: Path) -> list[str]:
    """Return the command line that serves the whole function app on `port` and writes to `samples`."""
    return [sys.executable, "-m", __name__, "--port", str(port), "--samples", str(samples)]


async def write_samples(path: Path) -> None:
    """Write a sample of this process each second, until cancelled."""
    began = time.monotonic()
    with path.open("w", encoding="utf-8", buffering=1) as file:
        while True:
            tasks = asyncio.all_tasks()
            kinds = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks)
            line = {"seconds": round(time.monotonic() - began, 1), "tasks": len(tasks), "kinds": dict(kinds)}
            file.write(json.dumps({**line, **asdict(sample(os.getpid()))}) + "\n")
            await asyncio.sleep(INTERVAL_SECONDS)


async def main(port: int, path: Path) -> None:
    """Serve until shutdown."""
    sampling = asyncio.create_task(write_samples(path))
    await serve(load(config.ROOT), port)
    sampling.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the function app and write samples of the process.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(main(arguments.port, arguments.samples))
