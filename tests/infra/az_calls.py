"""Prints every `az` call of the project, one a line as JSON: `python -m tests.infra.az_calls`.

The calls are those that infra/deploy.sh makes, those in the documentation, and those that the doctor recommends.
"""

import ast
import json
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.infra.rig import Rule, answers, deploy, deployment
from tests.support.paths import ROOT

SECRETS = {"GEMINI_API_KEY": "a", "NEXTAUTH_SECRET": "b"}
DOCUMENTS = ("README.md", "docs/*.md", "examples/**/README.md")
_CODE = re.compile(r"^```[a-z]*\n(.*?)^```|((?:^ {4}\S[^\n]*\n)+)|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_NESTED = re.compile(r"\$\(([^()]*)\)")
_BETWEEN = re.compile(r"\n|\|\||&&|[|;&]")
_BEFORE = re.compile(r"^(?:(?:while|do|then|if|!|[A-Za-z_]+=\S*)\s+)*")


def deploy_calls() -> Iterator[list[str]]:
    """Yield the calls that infra/deploy.sh makes, recorded by the fake `az`."""
    pipeline: list[Rule] = [
        [["account", "show", "--query", "user.type"], "servicePrincipal\n"],
        [["provider", "show"], "NotRegistered\n"],
        [["keyvault", "list-deleted"], "kv-dev-x\t/x/resourceGroups/rg-image-api-dev/x\tdev\n"],
        [["keyvault", "secret", "set"], {"error": "(Conflict) in a deleted but recoverable state"}],
    ]
    with tempfile.TemporaryDirectory() as folder, deployment() as url:
        runs = [
            deploy(Path(folder), ["--dry-run"], answers(url, group=False), **SECRETS),
            deploy(Path(folder), ["--yes"], answers(url, group=False), **SECRETS),
            deploy(Path(folder), ["--yes"], answers(url, *pipeline, site=url), **SECRETS),
            deploy(Path(folder), ["destroy", "--yes"], answers(url)),
        ]
    for run in runs:
        if run.code != 0:
            raise SystemExit(run.err)
        yield from (call["arguments"] for call in run.calls if call["arguments"][0] != "swa")


def calls_in(shell: str) -> Iterator[list[str]]:
    """Yield the `az` calls of a shell script, also those in `$(…)`. A value that the shell substitutes is `X`."""
    text = re.sub(r"\\\n\s*", " ", shell)
    while (nested := _NESTED.search(text)) is not None:
        yield from calls_in(nested[1])
        text = text[: nested.start()] + "X" + text[nested.end() :]
    quoted: list[str] = []

    def kept(match: re.Match[str]) -> str:
        """Replace a quoted text, which may contain characters that end a command outside of quotes."""
        quoted.append(match[0])
        return f"\0{len(quoted) - 1}\0"

    text = re.sub(r"'[^']*'|\"[^\"]*\"", kept, text)
    for part in _BETWEEN.split(text):
        command = _BEFORE.sub("", re.sub(r"\s#.*$", "", part).strip())
        if command.startswith("az "):
            whole = re.sub(r"\0(\d+)\0", lambda match: quoted[int(match[1])], command)
            yield shlex.split(re.sub(r"\s\d?>+\s*\S+", "", whole))[1:]


def documented() -> Iterator[list[str]]:
    """Yield the calls in the documentation: in code blocks and between backquotes."""
    for pattern in DOCUMENTS:
        for path in sorted(ROOT.glob(pattern)):
            if "node_modules" not in path.parts:
                for found in _CODE.finditer(path.read_text(encoding="utf-8")):
                    yield from calls_in(found[1] or found[2] or found[3])


def recommended() -> Iterator[list[str]]:
    """Yield the calls in the doctor's findings and in the constants that the findings contain."""
    for path in sorted((ROOT / "operations").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield from calls_in("".join(map(_written, node.values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                yield from calls_in(node.value)


def _written(part: ast.expr) -> str:
    """Return the text of a part of an f-string: a constant, the first of two alternatives, else `X`."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    value = value.body if isinstance(value, ast.IfExp) else value
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else "X"


def main() -> None:
    for calls in (deploy_calls(), documented(), recommended()):
        for arguments in calls:
            print(json.dumps(arguments))  # noqa: T201 - the program writes to a pipe


if __name__ == "__main__":
    main()
