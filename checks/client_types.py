"""Generate the types of the TypeScript client from the OpenAPI document with default settings.

`python checks/client_types.py` writes `examples/client/schema.ts`. With `--check` it exits with 1 if they are out of
date.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from image_core.api.openapi.document import build
from image_core.settings import Settings
from local.node import find_node, install_packages

CLIENT = Path(__file__).parent.parent / "examples" / "client"
TYPES = CLIENT / "schema.ts"


def generated() -> str:
    """Return the output of `openapi-typescript`. A field of a request is optional if it has a default."""
    install_packages(CLIENT)
    tools = find_node()
    with tempfile.TemporaryDirectory() as folder:
        document, types = Path(folder) / "openapi.json", Path(folder) / "schema.ts"
        document.write_text(json.dumps(build(Settings.read({}))), encoding="utf-8")
        program = str(CLIENT / "node_modules" / "openapi-typescript" / "bin" / "cli.js")
        command = [tools.node, program, str(document), "--output", str(types), "--default-non-nullable=false"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=tools.environment())  # noqa: S603 - our own
        return types.read_text(encoding="utf-8")


def main(check: bool) -> int:  # noqa: FBT001 - the one flag of the command
    """Write or check the types; return the exit code."""
    wanted = generated()
    if check:
        if TYPES.read_text(encoding="utf-8") != wanted:
            print("examples/client/schema.ts: the types are out of date: run `make client`", file=sys.stderr)
            return 1
    else:
        TYPES.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
