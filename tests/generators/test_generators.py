"""Linters find nothing in the OpenAPI document, and clients generated from it work on real answers."""

import asyncio
import base64
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from image_core.api.http import Request
from image_core.api.openapi.document import build
from image_core.settings import Settings
from local.emulators import AzuritePorts
from local.node import find_node, install_packages
from tests.support.harness import Harness, harness, sample_image

pytestmark = pytest.mark.timeout(600)
FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
PACKAGES = FOLDER / "node_modules"
ENVIRONMENT = ROOT / ".venv-generators"
BIN = ENVIRONMENT / "bin"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "DO_NOT_TRACK": "1"}

HEY_API = "node_modules/@hey-api/openapi-ts/bin/run.js"
ORVAL = "node_modules/orval/dist/bin/orval.mjs"
REDOCLY = "node_modules/@redocly/cli/bin/cli.js"
SPECTRAL = "node_modules/@stoplight/spectral-cli/dist/index.js"
SPECTRAL_OPTIONS = ("lint", "openapi.json", "--format=json", "--output=found.json", "--fail-severity=hint")
COMPILER = "node_modules/typescript/bin/tsc"


async def run(*command: str, cwd: Path, **environment: str) -> str:
    """Return the standard output of a command that succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**find_node().environment(), **QUIET, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 300)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"{command}: {out.decode()[-3000:]}{err.decode()[-3000:]}"
    return out.decode()


async def node(*arguments: str, cwd: Path, **environment: str) -> str:
    return await run(find_node().node, *arguments, cwd=cwd, **environment)


@pytest.fixture(scope="module")
def packages() -> None:
    """Install npm's generators, and PyPI's in a separate environment."""
    install_packages(FOLDER)


@pytest.fixture
async def python(packages: None) -> str:
    if not ENVIRONMENT.exists():
        await run(sys.executable, "-m", "venv", str(ENVIRONMENT), cwd=ROOT)
    installer = (sys.executable, "checks/install.py", str(BIN / "python"), "requirements/generators.txt")
    await run(*installer, cwd=ROOT)
    return str(BIN / "python")


@pytest.fixture
def folder(packages: None, tmp_path: Path) -> Path:
    """Return a folder with the document, the packages and the programs that use the generated clients."""
    document = build(Settings.read({"NEXTAUTH_URL": "https://app.test"}))
    (tmp_path / "openapi.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    for name in (*FOLDER.glob("*.ts"), *FOLDER.glob("use_*.py"), *FOLDER.glob("*.mjs"), *FOLDER.glob("*.yaml")):
        shutil.copy(name, tmp_path)
    shutil.copy(FOLDER / "tsconfig.json", tmp_path)
    shutil.copy(FOLDER / ".spectral.yaml", tmp_path)
    return tmp_path


@asynccontextmanager
async def served(product: Harness) -> AsyncIterator[str]:
    """Serve the application on a port."""

    async def handle(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        converted = Request(
            request.method,
            request.path.removeprefix("/api/"),
            dict(request.query),
            headers,
            await request.read(),
        )
        answer = await product.app.handle(converted)
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    app = web.Application(client_max_size=40_000_000)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def api(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Mapping[str, str]]:
    """Serve the API and return a client's environment: the API's URL, a session and a photograph."""
    async with harness(azurite_ports, cosmos_url) as product, served(product) as url:
        product.fake_gemini.latency = 1.5
        yield {"API": url, "COOKIE": product.cookie, "PHOTO": base64.b64encode(sample_image()).decode()}


def check(printed: str) -> None:
    """Check the results that a client has printed."""
    results: dict[str, Any] = json.loads(printed)
    status, model, mime_type = results["made"]
    assert (status, mime_type) == ("succeeded", "image/png")
    assert model
    assert results["later"] == ["running", True, True]
    assert results["found"][:2] == ["succeeded", True]
    assert results["found"][3] is None
    assert results["dry"] == [True, "image/jpeg", True]
    assert results["listed"] == [[True], True]
    assert results["bytes"] > 1000
    assert results["wrong"] == [400, "invalid_image", 0]
    assert results["deleted"] == 204
    assert results["gone"] == [404, "not_found"]
    assert (results["usage"], results["health"]) == (2, "ok")


async def compiled(folder: Path, name: str) -> str:
    """Compile a TypeScript file and its client with strict options. Return the path of the program."""
    settings = json.loads((folder / "tsconfig.json").read_text())
    (folder / "tsconfig.json").write_text(json.dumps({**settings, "files": [f"{name}.ts"]}))
    await node(COMPILER, "--project", ".", cwd=folder)
    return f"compiled/{name}.js"


async def test_redocly_has_neither_errors_nor_warnings(folder: Path) -> None:
    found = json.loads(await node(REDOCLY, "lint", "openapi.json", "--format=json", cwd=folder))
    assert [(problem["ruleId"], problem["message"]) for problem in found["problems"]] == []
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


async def test_spectral_has_neither_errors_nor_warnings(folder: Path) -> None:
    await node(SPECTRAL, *SPECTRAL_OPTIONS, cwd=folder)
    assert json.loads((folder / "found.json").read_text()) == []


async def test_linters_find_a_faulty_document(folder: Path) -> None:
    document = json.loads((folder / "openapi.json").read_text())
    del document["info"]["license"]
    document["servers"] = []
    (folder / "openapi.json").write_text(json.dumps(document))
    with pytest.raises(AssertionError, match="no-empty-servers"):
        await node(REDOCLY, "lint", "openapi.json", "--format=json", cwd=folder)
    with pytest.raises(AssertionError):
        await node(SPECTRAL, *SPECTRAL_OPTIONS, cwd=folder)
    assert {problem["code"] for problem in json.loads((folder / "found.json").read_text())} == {"oas3-api-servers"}


async def test_client_of_hey_api_works(folder: Path, api: Mapping[str, str]) -> None:
    arguments = ("--input", "openapi.json", "--output", "hey_api", "--client", "@hey-api/client-fetch")
    await node(HEY_API, *arguments, cwd=folder)
    check(await node(await compiled(folder, "use_hey_api"), cwd=folder, **api))


async def test_client_and_schemas_of_orval_work(folder: Path, api: Mapping[str, str]) -> None:
    await node(ORVAL, "--config", "orval.config.mjs", cwd=folder, API=api["API"])
    check(await node(await compiled(folder, "use_orval"), cwd=folder, **api))


async def test_client_of_openapi_python_client_works(folder: Path, api: Mapping[str, str], python: str) -> None:
    arguments = ("--path", "openapi.json", "--output-path", "openapi_python_client_made", "--meta", "none")
    program = (str(BIN / "openapi-python-client"), "generate", *arguments, "--config", "openapi-python-client.yaml")
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    assert "WARNING" not in await run(*program, cwd=folder, PATH=path)
    check(await run(python, "use_openapi_python_client.py", cwd=folder, **api))


async def openapi_generator(generator: str, output: str, folder: Path) -> None:
    program = str(BIN / "openapi-generator-cli")
    await run(program, "generate", "-i", "openapi.json", "-g", generator, "-o", output, cwd=folder)


async def test_python_client_of_openapi_generator_works(folder: Path, api: Mapping[str, str], python: str) -> None:
    await openapi_generator("python", "made", folder)
    check(await run(python, "use_openapi_generator.py", cwd=folder, PYTHONPATH=str(folder / "made"), **api))


async def test_typescript_client_of_openapi_generator_works(folder: Path, api: Mapping[str, str], python: str) -> None:
    await openapi_generator("typescript-fetch", "typescript_fetch", folder)
    check(await node(await compiled(folder, "use_typescript_fetch"), cwd=folder, **api))
