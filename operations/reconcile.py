"""Compare images with records: `make reconcile`, or `python -m operations.reconcile [--fix]` with the app's settings.

It prints a line for each difference: FIX for one that `--fix` repairs, FIXED for one that it has repaired, CHECK for
one that a person has to decide about. The exit code is 1 if any is left.
"""

import argparse
import asyncio
import os
import sys

from image_core.app import Application
from image_core.errors import ImageError, Misconfigured
from image_core.generations.reconciliation import Finding, Kind, Reconciliation

DESCRIPTIONS = {
    Kind.IMAGE_WITHOUT_RECORD: "this image has no record, so no user sees it: delete the blob if nothing links to it",
    Kind.RECORD_WITHOUT_IMAGE: "this generation succeeded and its image is missing: restore the blob, or delete the "
    "generation",
    Kind.LEASE_EXPIRED: "no process runs this generation, although it has not ended: resume it",
    Kind.OUTBOX_ENTRY: "the result of this generation is in the outbox and not in its record: apply it",
    Kind.LONG_CACHE: "browsers may keep this public image for a year, as earlier versions allowed: set `no-cache`",
    Kind.RENDITION_WITHOUT_IMAGE: "this rendition's image was deleted: delete the rendition",
    Kind.TURN_WITHOUT_RECORD: "the generation of this turn was deleted: delete what the model was asked and answered",
}
"""What is wrong, and what repairs it."""


async def reconcile(reconciliation: Reconciliation, *, fix: bool) -> int:
    """Print a line for each difference, repair it if `fix`; return how many are left."""
    left = 0
    for finding in await reconciliation.findings():
        state = await _repair(finding, fix=fix)
        left += state != "FIXED"
        print(f"{state:5}  {finding.name}: {DESCRIPTIONS[finding.kind]}")
    print(
        "Images and records agree." if left == 0 else f"{left} left. `make reconcile FIX=--fix` repairs the FIX lines."
    )
    return left


async def main(*, fix: bool) -> int:
    """Reconcile the app of this environment; return the exit code."""
    app = Application(os.environ)
    try:
        return 1 if await reconcile(app.components.reconciliation, fix=fix) else 0
    except ImageError as error:
        reason = error.reason if isinstance(error, Misconfigured) else error.code
        print(f"reconcile: {reason}: `make doctor` says more", file=sys.stderr)
        return 1
    finally:
        await app.close()


async def _repair(finding: Finding, *, fix: bool) -> str:
    if finding.fix is None:
        return "CHECK"
    if not fix:
        return "FIX"
    await finding.fix()
    return "FIXED"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make reconcile", description="Compare images with records.")
    parser.add_argument("--fix", action="store_true", help="repair what has one right answer")
    sys.exit(asyncio.run(main(fix=parser.parse_args().fix)))
