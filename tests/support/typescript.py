"""Runs the TypeScript compiler with its strictest options on the client and programs that use it."""

import json
import shutil
import subprocess
from pathlib import Path

from local.node import find_node, install_packages
from tests.support.paths import ROOT

CLIENT = ROOT / "examples" / "client"
COMPILER = str(CLIENT / "node_modules" / "typescript" / "bin" / "tsc")


def node(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Node.js."""
    tools = find_node()
    return subprocess.run(
        [tools.node, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=tools.environment()
    )


def faults(source: str, folder: Path) -> list[str]:
    """Return the compiler's messages for `use.ts`, a file with this source beside the client's."""
    install_packages(CLIENT)
    for name in ("client.ts", "schema.ts"):
        shutil.copy(CLIENT / name, folder / name)
    settings = json.loads((CLIENT / "tsconfig.json").read_text())
    (folder / "tsconfig.json").write_text(json.dumps({**settings, "files": ["use.ts"]}))
    (folder / "use.ts").write_text(source)
    return node(COMPILER, "--project", ".", cwd=folder).stdout.splitlines()
