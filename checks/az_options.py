"""Check the options of every `az` call of the project with the Azure CLI's own parser.

`make check-az` runs it in the CLI's environment. It needs no login and calls nothing: the commands are only parsed.
Each line of standard input is one call, as a JSON array of arguments.
"""

import json
import sys
from typing import Any

from azure.cli.core import get_default_cli


def check(arguments: list[str]) -> str | None:
    """Return why the parser refuses one call, or None if it accepts it."""
    cli: Any = get_default_cli()
    invoker = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    cli.invocation = invoker
    loader = invoker.commands_loader
    loader.load_command_table(arguments)
    command = next(
        (
            " ".join(arguments[:end])
            for end in range(len(arguments), 0, -1)
            if " ".join(arguments[:end]) in loader.command_table
        ),
        None,
    )
    if command is None:
        return "there is no such command"
    invoker.data["command_string"] = command
    loader.command_name = command
    loader.command_table = {command: loader.command_table[command]}
    loader.load_arguments(command)
    invoker.parser.load_command_table(loader)
    try:
        invoker.parser.parse_args(arguments)
    except SystemExit:
        return "the Azure CLI refuses its options"
    return None


def main() -> int:
    """Check all calls; return the exit code."""
    calls: dict[str, list[str]] = {}
    for line in sys.stdin:
        arguments = json.loads(line)
        options = " ".join(word for word in arguments if word.startswith("-") or word == arguments[0])
        calls[f"{options} {len(arguments)}"] = arguments
    faults = {" ".join(arguments): fault for arguments in calls.values() if (fault := check(arguments)) is not None}
    for call, fault in faults.items():
        print(f"az {call}: {fault}", file=sys.stderr)
    print(f"az: {len(calls) - len(faults)} of {len(calls)} calls are valid")
    return 1 if faults or not calls else 0


if __name__ == "__main__":
    sys.exit(main())
