"""Every kind of `az` call that infra/deploy.sh makes, one a line as JSON: `python -m tests.infra.az_calls`."""

import json
import tempfile
from pathlib import Path

from tests.infra.rig import Rule, answers, deploy, deployment

SECRETS = {"GEMINI_API_KEY": "a", "NEXTAUTH_SECRET": "b"}


def main() -> None:
    pipeline: list[Rule] = [
        [["account", "show", "--query", "user.type"], "servicePrincipal\n"],
        [["account", "show", "--query", "user.name"], "22222222-2222-2222-2222-222222222222\n"],
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
        for call in run.calls:
            if call["arguments"][0] != "swa":
                print(json.dumps(call["arguments"]))  # noqa: T201 - it is a filter


if __name__ == "__main__":
    main()
