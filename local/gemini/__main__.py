"""Run the fake Gemini as a program: `python -m local.gemini --port 8790 --latency 2`."""

import argparse
import asyncio
import sys

from local.gemini.server import FakeGemini
from local.processes import wait_for_shutdown


async def main(port: int, latency: float) -> None:
    """Serve until a shutdown signal. `latency` is in seconds."""
    fake_gemini = FakeGemini(latency)
    try:
        print(f"Fake Gemini on {await fake_gemini.start(port)}", flush=True)
    except OSError as error:
        sys.exit(f"the fake Gemini cannot listen on port {port}: {error.strerror}")
    await wait_for_shutdown()
    await fake_gemini.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake Gemini API.")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds that an image takes")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.port, arguments.latency))
