"""The whole product on this machine: `python -m local.stack` (make run). Ctrl-C ends all of it."""

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

from local import config, existing_services, front, functions_host, gemini, nextauth, static_web_apps
from local.emulators import azurite, cosmosdb
from local.existing_services import ExistingService, ServiceUnusable
from local.node import NodeMissing, install_packages
from local.processes import START_SECONDS, DidNotStart, is_port_taken, running, wait_for_port
from local.provision import Names, provision
from local.show import data_url

POLL_SECONDS = 0.2
TAIL_LINES = 15
SAMPLE = Path(__file__).parent / "samples" / "coffee.jpg"
SAMPLE_PROMPT = "a watercolor painting of it"


class CannotStart(RuntimeError):
    """The stack cannot be started; the message's first line says why and what to do, the end of a log may follow."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    configuration: config.Config
    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path
    used: tuple[ExistingService, ...] = ()
    """Services that the stack uses and has not started."""
    warnings: tuple[str, ...] = ()

    @property
    def front(self) -> str:
        """The browser's origin."""
        return f"http://localhost:{self.configuration.ports['FRONT_PORT']}"

    @property
    def api(self) -> str:
        """The API at the Functions host, without the front."""
        return f"http://localhost:{self.configuration.ports['PORT']}/api"

    @property
    def notes(self) -> list[str]:
        """A line for each existing service and each warning."""
        return [
            *(f"Uses {service.description}" for service in self.used),
            *(f"WARNING: {warning}" for warning in self.warnings),
        ]

    def cookie(self, email: str = nextauth.DEFAULT_USER["email"]) -> str:
        """Return a development session as the value of a `Cookie` header."""
        user = {**nextauth.DEFAULT_USER, "email": email}
        secret = self.configuration.environment["NEXTAUTH_SECRET"]
        return nextauth.cookie_header(nextauth.session_cookies(secret, user, datetime.now(UTC)))

    def failure(self) -> str | None:
        """Return the name of a program that has ended, with the end of its log; None while all run."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                return f"{name} ended with code {process.returncode}\n{_tail(self.logs / f'{name}.log')}"
        return None


@contextlib.contextmanager
def started(configuration: config.Config, logs: Path) -> Iterator[Stack]:
    """Start the stack and yield it when everything except the model is healthy. Raises CannotStart.

    Configured services and emulators that already run are used and not started.
    """
    _check_ports(configuration)
    try:
        already_running = tuple(existing_services.find_running(configuration))
        used = (*existing_services.find_configured(configuration), *already_running)
    except ServiceUnusable as error:
        raise CannotStart(str(error)) from error
    to_start = {existing_services.STORAGE, existing_services.COSMOS, existing_services.GEMINI}
    to_start -= {service.name for service in already_running}
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
            if configuration.emulate_static_web_apps:
                install_packages(static_web_apps.PACKAGES)
            # Programs that need no other start while the emulators do.
            if configuration.emulate_gemini and existing_services.GEMINI in to_start:
                start("gemini", ports["GEMINI_PORT"], _fake_gemini(configuration), environment)
            api = f"http://127.0.0.1:{ports['PORT']}"
            start("front", configuration.page_port, front.command(configuration.page_port, api), environment)
            if configuration.emulate_cosmos and existing_services.COSMOS in to_start:
                stack.enter_context(cosmosdb(ports["COSMOS_PORT"], log=logs / "cosmos.log"))
            if configuration.emulate_storage and existing_services.STORAGE in to_start:
                stack.enter_context(azurite(configuration.azurite, log=logs / "azurite.log"))
            start("functions", ports["PORT"], _host(ports["PORT"]), environment)
            _provision(configuration)
            wait()
            if configuration.emulate_static_web_apps:
                # When it starts, the front and the host must answer already.
                command = static_web_apps.command(ports["FRONT_PORT"], configuration.page_port, ports["PORT"])
                start("swa", ports["FRONT_PORT"], command, static_web_apps.environment())
                wait()
            found = Stack(configuration, processes, logs, used)
            found = replace(found, warnings=_wait_until_healthy(found))
        except (DidNotStart, NodeMissing) as error:
            names = list(processes)
            raise CannotStart(f"{error}\n{_tail(logs / f'{names[-1]}.log') if names else ''}".rstrip()) from error
        yield found


def main() -> int:
    """Run until Ctrl-C; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # A shell that starts this process in the background makes it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print("Starting the local stack: a few seconds …", flush=True)
    try:
        with started(config.read(), config.ROOT / ".local" / "logs") as stack:
            print(_greeting(stack), flush=True)
            while (failure := stack.failure()) is None:
                time.sleep(POLL_SECONDS)
            print(f"make run: {failure}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("\nEverything has ended.")
        return 0
    except (CannotStart, config.WrongSetting) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


def _check_ports(configuration: config.Config) -> None:
    """Check the ports of programs that are always started. Raises CannotStart."""
    for name in ("PORT", "FRONT_PORT", "PAGE_PORT"):
        port = configuration.used_ports.get(name)
        if port is not None and is_port_taken(port):
            raise CannotStart(f"port {port} is taken: set {name} to another port, as in `make run {name}={port + 10}`")


def _fake_gemini(configuration: config.Config) -> list[str]:
    options = ("--port", str(configuration.ports["GEMINI_PORT"]), "--latency", str(configuration.latency))
    return [sys.executable, "-m", gemini.__name__, *options]


def _host(port: int) -> list[str]:
    """Return the command line of Azure's own host if it is installed, else of ours."""
    func = shutil.which("func") or shutil.which("func", path=str(config.ROOT / "local" / "node_modules" / ".bin"))
    if func is not None:
        return [func, "start", "--port", str(port)]
    return functions_host.command(port, config.ROOT)


def _provision(configuration: config.Config) -> None:
    """Create what is missing in the emulators, but nothing in real accounts. Raises CannotStart."""
    values = (configuration.setting(name) for name in (config.COSMOS, config.STORAGE, config.HOST_STORAGE))
    cosmos, storage, queues = (value if existing_services.has_published_key(value) else None for value in values)
    try:
        provision(cosmos, storage, queues, Names.read({**os.environ, **configuration.environment}))
    except AzureError as error:
        reason = str(error).splitlines()[0]
        if "API version" in reason:
            reason = (
                "the running Azurite does not know the SDK's API version: start it with --skipApiVersionCheck, or end "
                "it and make run starts one"
            )
        raise CannotStart(f"containers could not be created in the emulators: {reason}") from error


def _wait_until_healthy(stack: Stack) -> tuple[str, ...]:
    """Wait until everything except the model is up; return warnings about the model. Raises CannotStart."""
    deadline = time.monotonic() + START_SECONDS
    problem = "no answer"
    while time.monotonic() < deadline:
        if (failure := stack.failure()) is not None:
            raise CannotStart(failure)
        try:
            answer = requests.get(f"{stack.front}/api/health?deep=1", timeout=15)
        except requests.RequestException as error:
            problem = type(error).__name__
        else:
            states = _dependencies(answer)
            if states and not {name for name, state in states.items() if state.get("status") == "down"} - {"model"}:
                return _model_warnings(states.get("model", {}))
            problem = f"{answer.status_code} {answer.text[:600]}"
        time.sleep(POLL_SECONDS)
    raise CannotStart(f"{stack.front}/api/health?deep=1 is not healthy after {START_SECONDS:.0f} s: {problem}")


def _dependencies(answer: requests.Response) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = answer.json()["dependencies"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found


def _model_warnings(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning if a model does not answer. The stack runs anyway: not every gateway serves that request."""
    if state.get("status") == "ok":
        return ()
    models = {name: answer for name, answer in state.get("models", {}).items() if answer != "ok"}
    details = ", ".join(f"{name}: {answer}" for name, answer in models.items()) or str(state.get("code", "no answer"))
    status = state.get("status", "unknown")
    return (f"the model is {status} ({details}): generating may fail; `make doctor` says more",)


def _greeting(stack: Stack) -> str:
    """Return what a newcomer needs: the addresses, and a request to paste."""
    request = {"images": [data_url(SAMPLE)], "prompt": SAMPLE_PROMPT}
    (config.ROOT / ".local" / "request.json").write_text(json.dumps(request), encoding="utf-8")
    configuration = stack.configuration
    through = ", behind Microsoft's Static Web Apps emulator" if configuration.emulate_static_web_apps else ""
    model = (
        "fake: paints test images for free   (for real ones, set GEMINI_API_KEY in local.settings.json)"
        if configuration.emulate_gemini
        else "Gemini: each image costs money"
    )
    logs = stack.logs.relative_to(config.ROOT)
    return "\n".join(
        (
            "",
            "The image API is running.",
            "",
            f"  Playground       {stack.front}   (sign in with any name{through})",
            f"  API              {stack.front}/api/image",
            f"  API reference    {stack.front}/api/docs",
            f"  Functions host   {stack.api}",
            f"  Model            {model}",
            f"  Logs             {logs}/",
            *(f"  {note}" for note in stack.notes),
            "",
            "Generate an image from local/samples/coffee.jpg and save it as .local/result.png:",
            "",
            f"curl -sS {stack.front}/api/image -H 'Content-Type: application/json' --data @.local/request.json \\",
            f"  -b '{stack.cookie()}' \\",
            "  | .venv/bin/python -m local.show .local/result",
            "",
            "Press Ctrl-C to end everything.",
        )
    )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


if __name__ == "__main__":
    sys.exit(main())
