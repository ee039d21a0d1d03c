"""Our Functions host, which writes down once a second what it has: `python -m benchmarks.watched --port 7071 --samples FILE`.

A line of JSON for each: `seconds` since the start, `resident` bytes, `files`, `threads`, `tasks` of the event loop, and `kinds`
of them, by what they run.
"""

import argparse
import asyncio
import json
import logging
import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from benchmarks.process import sample
from local import config
from local.functions_host.app import load
from local.functions_host.host import serve

EVERY_SECONDS = 1.0


async def watch(path: Path) -> None:
    began = time.monotonic()
    with path.open("w", encoding="utf-8", buffering=1) as file:
        while True:
            tasks = asyncio.all_tasks()
            kinds = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks)
            seen = {"seconds": round(time.monotonic() - began, 1), "tasks": len(tasks), "kinds": dict(kinds)}
            file.write(json.dumps({**seen, **asdict(sample(os.getpid()))}) + "\n")
            await asyncio.sleep(EVERY_SECONDS)


async def main(port: int, path: Path) -> None:
    watching = asyncio.create_task(watch(path))
    await serve(load(config.ROOT), port)
    watching.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the function app, and watch it.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(main(arguments.port, arguments.samples))
