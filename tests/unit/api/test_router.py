"""The table of routes: literal parts in any case, HEAD wherever GET is, and methods that a route does not have."""

import json
from collections.abc import AsyncIterator

import pytest

from image_core.api.http import Request, Response
from image_core.api.router import ROUTES, find
from image_core.app import Application
from image_core.errors import NotFound

SECRET = "a secret of these tests"
GETS = sorted({route.path for route in ROUTES if route.method == "GET"})


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    product = Application({"NEXTAUTH_SECRET": SECRET, "ALLOWED_ORIGINS": "https://studio.example.com"})
    yield product
    await product.close()


async def call(app: Application, method: str, path: str, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.handle(Request(method, path, headers=sent))


def code(answer: Response) -> str:
    return str(json.loads(answer.body)["code"])


@pytest.mark.parametrize("path", ["health", "HEALTH", "Health", "OpenAPI.json", "DOCS", "docs/"])
async def test_literal_parts_are_case_insensitive(app: Application, path: str) -> None:
    assert (await call(app, "GET", path)).status == 200


def test_parameter_keeps_its_case_and_is_decoded() -> None:
    found = find("IMAGES/Photo%20A.PNG")
    assert found.name == "Photo A.PNG"
    assert {route.path for route in found.routes} == {"images/{name}"}


@pytest.mark.parametrize(
    "path", ["images/", "images/.", "images/..", "images/a%2Fb", "images/a%5Cb", "images/a%00b", f"images/{'a' * 1025}"]
)
def test_segment_that_cannot_be_a_name_is_404(path: str) -> None:
    with pytest.raises(NotFound):
        find(path)


async def test_letter_with_the_same_upper_case_is_another_letter(app: Application) -> None:
    long_s = "docs".replace("s", "\u017f")  # its upper case is S
    assert (await call(app, "GET", long_s)).status == 404


@pytest.mark.parametrize("path", ["health", "openapi.json", "docs"])
async def test_head_has_the_headers_of_get_and_no_body(app: Application, path: str) -> None:
    got = await call(app, "GET", path)
    headed = await call(app, "HEAD", path)
    assert (headed.status, dict(headed.headers), headed.body) == (got.status, dict(got.headers), b"")
    assert got.body != b""


@pytest.mark.parametrize("path", GETS)
async def test_every_get_has_a_head(app: Application, path: str) -> None:
    """Without a session HEAD is refused like GET, except on public routes."""
    got = await call(app, "GET", path)
    headed = await call(app, "HEAD", path)
    assert (headed.status, dict(headed.headers), headed.body) == (got.status, dict(got.headers), b"")
    assert headed.status in {200, 401}
    assert "HEAD" in (await call(app, "OPTIONS", path)).headers["Allow"].split(", ")


@pytest.mark.parametrize("path", ["image", "IMAGE", "upload"])
async def test_head_of_a_post_is_405_without_a_body(app: Application, path: str) -> None:
    headed = await call(app, "HEAD", path)
    assert (headed.status, headed.headers["Allow"], headed.body) == (405, "POST", b"")


async def test_405_lists_head(app: Application) -> None:
    refused = await call(app, "PUT", "generations/x")
    assert (refused.status, code(refused), refused.headers["Allow"]) == (405, "method_not_allowed", "GET, HEAD, DELETE")


async def test_preflight_allows_the_methods_of_the_route_in_any_case(app: Application) -> None:
    answer = await call(app, "OPTIONS", "Generations/x", origin="https://studio.example.com")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, DELETE"


async def test_unknown_path_is_404(app: Application) -> None:
    answer = await call(app, "GET", "images")
    assert (answer.status, code(answer)) == (404, "not_found")
