"""The whole stack on this machine: `python -m local.stack`. Ctrl-C ends all of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import AzureError

from local import config, existing, nextauth, static_web_apps
from local.emulators import DidNotStart, azurite, cosmosdb, running, taken, wait_for_port
from local.node import NodeMissing, install_packages
from local.provision import Names, provision
from local.show import data_url

START_SECONDS = 60.0
TAIL_LINES = 15
SAMPLE = Path(__file__).parent / "samples" / "coffee.jpg"


class CannotStart(RuntimeError):
    """The stack cannot be started; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What is running, and where."""

    configuration: config.Config
    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path
    used: tuple[existing.Used, ...] = ()
    """The services that were not started: configured ones, and emulators that were running already."""
    warnings: tuple[str, ...] = ()

    @property
    def front(self) -> str:
        return f"http://localhost:{self.configuration.ports['FRONT_PORT']}"

    @property
    def api(self) -> str:
        return f"http://localhost:{self.configuration.ports['PORT']}/api"

    def cookie(self, email: str = nextauth.DEFAULT_USER["email"]) -> str:
        """A development session, as a `Cookie` header."""
        user = {**nextauth.DEFAULT_USER, "email": email}
        secret = self.configuration.environment["NEXTAUTH_SECRET"]
        return nextauth.cookie_header(nextauth.session_cookies(secret, user, datetime.now(UTC)))

    def ended(self) -> str | None:
        """The name of a program that has ended by itself, with the end of its log."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                return f"{name} ended with code {process.returncode}\n{tail(self.logs / f'{name}.log')}"
        return None


def tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


@contextlib.contextmanager
def started(configuration: config.Config, logs: Path) -> Iterator[Stack]:
    """The stack, healthy but for the model. Raises CannotStart.

    What is configured is used, and so is an emulator that answers already at the address of one that would be started.
    """
    _check_ports(configuration)
    try:
        running_already = tuple(existing.running_already(configuration))
        used = (*existing.configured(configuration), *running_already)
    except existing.Unusable as error:
        raise CannotStart(str(error)) from error
    to_start = {existing.STORAGE, existing.COSMOS, existing.GEMINI} - {each.name for each in running_already}
    logs.mkdir(parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    listening: dict[str, int] = {}
    ports, environment = configuration.ports, configuration.environment
    with contextlib.ExitStack() as stack:

        def start(name: str, port: int, command: list[str], environment: Mapping[str, str]) -> None:
            processes[name] = stack.enter_context(running(command, log=logs / f"{name}.log", environment=environment))
            listening[name] = port

        def wait() -> None:
            for name, port in listening.items():
                wait_for_port(port, processes[name], name, logs / f"{name}.log")

        try:
            if configuration.emulate_site:
                install_packages(static_web_apps.PACKAGES)
            # What needs nothing else comes up while the emulators do.
            if configuration.emulate_gemini and existing.GEMINI in to_start:
                options = ["--port", str(ports["GEMINI_PORT"]), "--latency", str(configuration.latency)]
                start("gemini", ports["GEMINI_PORT"], [sys.executable, "-m", "local.gemini", *options], environment)
            options = ["--port", str(configuration.page_port), "--api", f"http://127.0.0.1:{ports['PORT']}"]
            start("front", configuration.page_port, [sys.executable, "-m", "local.front", *options], environment)
            if configuration.emulate_cosmos and existing.COSMOS in to_start:
                stack.enter_context(cosmosdb(ports["COSMOS_PORT"], log=logs / "cosmos.log"))
            if configuration.emulate_storage and existing.STORAGE in to_start:
                stack.enter_context(azurite(configuration.azurite, log=logs / "azurite.log"))
            start("functions", ports["PORT"], _host(ports["PORT"]), environment)
            _provision(configuration)
            wait()
            if configuration.emulate_site:
                # It looks for the front and the host when it starts.
                command = static_web_apps.command(ports["FRONT_PORT"], configuration.page_port, ports["PORT"])
                start("swa", ports["FRONT_PORT"], command, static_web_apps.environment())
                wait()
            found = Stack(configuration, processes, logs, used)
            found = replace(found, warnings=_wait_until_healthy(found))
        except (DidNotStart, NodeMissing) as error:
            logged = [logs / f"{name}.log" for name in processes]
            raise CannotStart(f"{error}\n{tail(logged[-1]) if logged else ''}".rstrip()) from error
        yield found


def _provision(configuration: config.Config) -> None:
    """Create what is missing in emulators, also in those that this program has not started. Nothing is created in a real account."""
    wanted = (config.COSMOS, config.STORAGE, config.HOST_STORAGE)
    values = (configuration.setting(name) for name in wanted)
    cosmos, storage, queues = (value if existing.is_published(value) else None for value in values)
    try:
        provision(cosmos, storage, queues, Names.read({**os.environ, **configuration.environment}))
    except AzureError as error:
        reason = str(error).splitlines()[0]
        if "API version" in reason:
            reason = "the Azurite that runs there does not know the SDK's version: start it with --skipApiVersionCheck, or end it and make run starts one"
        raise CannotStart(f"containers could not be created in the emulators: {reason}") from error


def _check_ports(configuration: config.Config) -> None:
    """The ports of the programs that no other program can stand for."""
    for name in ("PORT", "FRONT_PORT", "PAGE_PORT"):
        port = configuration.used_ports.get(name)
        if port is not None and taken(port):
            raise CannotStart(f"port {port} is taken: set {name} to another, as in `make run {name}={port + 10}`")


def _host(port: int) -> list[str]:
    """Azure's own host where it is installed, else ours."""
    func = shutil.which("func") or shutil.which("func", path=str(config.ROOT / "local" / "node_modules" / ".bin"))
    if func is not None:
        return [func, "start", "--port", str(port)]
    return [sys.executable, "-m", "local.functions_host", "--port", str(port), "--root", str(config.ROOT)]


def _wait_until_healthy(stack: Stack) -> tuple[str, ...]:
    """Until everything but the model is up; warnings about the model. Raises CannotStart."""
    until = time.monotonic() + START_SECONDS
    problem = "no answer"
    while time.monotonic() < until:
        if (ended := stack.ended()) is not None:
            raise CannotStart(ended)
        try:
            answer = requests.get(f"{stack.front}/api/health?deep=1", timeout=15)
        except requests.RequestException as error:
            problem = type(error).__name__
        else:
            states = _dependencies(answer)
            if states and not {name for name, state in states.items() if state.get("status") == "down"} - {"model"}:
                return _model_warnings(states.get("model", {}))
            problem = f"{answer.status_code} {answer.text[:600]}"
        time.sleep(0.2)
    raise CannotStart(f"the stack is not healthy after {START_SECONDS:.0f} s: {problem}")


def _dependencies(answer: requests.Response) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = answer.json()["dependencies"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found


def _model_warnings(state: Mapping[str, Any]) -> tuple[str, ...]:
    """What is to be said of models that do not answer to their names. Not every gateway serves that call, and outages pass."""
    if state.get("status") == "ok":
        return ()
    models = {name: said for name, said in state.get("models", {}).items() if said != "ok"}
    said = ", ".join(f"{name}: {reason}" for name, reason in models.items()) or str(state.get("code", "no answer"))
    return (f"the model is {state.get('status', 'unknown')} ({said}): generating may fail; make doctor says more",)


def _greeting(stack: Stack) -> str:
    """The addresses, and one curl to paste."""
    folder = config.ROOT / ".local"
    request = {"images": [data_url(SAMPLE)], "prompt": "a watercolor painting of it"}
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    return "\n".join(
        (
            "",
            f"  Open   {stack.front}{_through(stack)}",
            f"  API    {stack.front}/api/image   (the Functions host itself: {stack.api})",
            f"  Docs   {stack.front}/api/docs",
            f"  Logs   {stack.logs.relative_to(config.ROOT)}/",
            *(f"  Uses   {used.line}" for used in stack.used),
            *(
                ["  Images are painted by a local program, not by a model"]
                if stack.configuration.emulate_gemini
                else []
            ),
            *(f"  WARNING: {warning}" for warning in stack.warnings),
            "",
            "  Make a picture of local/samples/coffee.jpg:",
            "",
            f"curl -sS {stack.front}/api/image -H 'Content-Type: application/json' --data @.local/request.json \\",
            f"  -b '{stack.cookie()}' \\",
            "  | .venv/bin/python -m local.show .local/result",
            "",
            "  Ctrl-C ends everything.",
        )
    )


def _through(stack: Stack) -> str:
    return "   (through Microsoft's Static Web Apps emulator)" if stack.configuration.emulate_site else ""


def main() -> int:
    """Run until Ctrl-C. The exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which a shell that starts us in the background has switched off
    print("Starting the local stack …", flush=True)
    try:
        with started(config.read(), config.ROOT / ".local" / "logs") as stack:
            print(_greeting(stack), flush=True)
            while (ended := stack.ended()) is None:
                time.sleep(0.3)
            print(f"make run: {ended}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0
    except (CannotStart, config.WrongSetting) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
