"""The command line: `python -m local.functions_host --port 7071 --root FOLDER`.

SIGINT, and the end of the process that started it, end it. SIGTERM is left to the app, as in Azure's worker: without a
handler of the app, the signal ends the process.
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from local.functions_host.app import CannotServe, load
from local.functions_host.host import apply_log_rules, serve


def main() -> int:
    """Serve the app of the command line's folder; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description="Serve a function app locally.")
    parser.add_argument("--port", type=int, default=7071, help="0 lets the system choose; the port is printed")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the folder of function_app.py and host.json")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        app = load(arguments.root.resolve())
        apply_log_rules(app)
        asyncio.run(serve(app, arguments.port))
    except CannotServe as error:
        print(f"functions host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
