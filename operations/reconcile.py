"""The books, checked: `python -m operations.reconcile [--fix]`, with the app's settings in the environment.

Exit code 0 where they are in order (or were put so), 1 where something is left for a person.
"""

import argparse
import asyncio
import os
import sys

from image_core.app import App
from image_core.errors import ImageError, Misconfigured


async def reconcile(app: App, *, fix: bool) -> int:
    """How many findings are left. Prints a line for each."""
    left = 0
    for finding in await app.components.audit.findings():
        outcome = "needs a person"
        if finding.mend is not None:
            outcome = "can be mended: --fix"
            if fix:
                await finding.mend()
                outcome = "mended"
        left += outcome != "mended"
        print(f"{finding.kind:24} {finding.name}  {outcome}")
    print("The books are in order." if left == 0 else f"{left} left.")
    return left


async def main(*, fix: bool) -> int:
    """The exit code."""
    app = App(os.environ)
    try:
        return 1 if await reconcile(app, fix=fix) else 0
    except ImageError as error:
        reason = error.reason if isinstance(error, Misconfigured) else error.code
        print(f"reconcile: {reason}", file=sys.stderr)
        return 1
    finally:
        await app.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check pictures against records, and records against pictures.")
    parser.add_argument("--fix", action="store_true", help="mend what has one right answer")
    sys.exit(asyncio.run(main(fix=parser.parse_args().fix)))
