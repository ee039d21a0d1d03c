"""The OpenAPI document has the API's routes, errors and request bodies."""

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from image_core.api.openapi.document import OPERATIONS, build, codes_of
from image_core.api.openapi.samples import EVERY_CODE, SAMPLES
from image_core.api.router import ROUTES
from image_core.api.wire.errors import ErrorBody
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS, GenerateRequest
from image_core.auth.cookies import NAMES
from image_core.errors import STATUS_BY_CODE, ImageError
from image_core.generations.failure import Failure
from image_core.settings import Settings
from tests.support.contract import document, problems, violations


def test_document_is_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1")
    validate(document())


def test_document_has_exactly_the_routes() -> None:
    described = {
        (method.upper(), path.removeprefix("/api/")) for path, item in document()["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    assert set(OPERATIONS) == described


def test_document_has_every_error_with_its_status_and_an_example() -> None:
    assert set(SAMPLES) == set(STATUS_BY_CODE)
    examples = document()["components"]["examples"]
    assert {code: example["value"]["code"] for code, example in examples.items()} == {code: code for code in SAMPLES}
    answered = {code for route in ROUTES for code in codes_of(route)}
    assert set(EVERY_CODE) - answered == {"method_not_allowed"}
    for route in ROUTES:
        responses = document()["paths"][f"/api/{route.path}"][route.method.lower()]["responses"]
        for code in codes_of(route):
            assert code in responses[str(STATUS_BY_CODE[code])]["content"]["application/json"]["examples"]


@pytest.mark.parametrize("code", EVERY_CODE)
def test_body_has_every_field_of_an_error(code: str) -> None:
    error = SAMPLES[code].error
    assert ErrorBody.of(error).to_wire() == error.body()
    kept = ErrorBody.of(Failure.of(error), "gen-1").to_wire()
    assert kept == {**error.body(), "id": "gen-1"}


def contents(part: Any) -> list[dict[str, Any]]:
    """Return every content with a schema, of requests and responses."""
    found: list[dict[str, Any]] = []
    if isinstance(part, dict):
        for name, each in part.items():
            found += list(each.values()) if name == "content" else contents(each)
    elif isinstance(part, list):
        for each in part:
            found += contents(each)
    return found


def test_every_example_is_valid() -> None:
    count = 0
    for content in contents(document()["paths"]):
        examples = [example.get("value") for example in content.get("examples", {}).values() if "value" in example]
        examples += [content["example"]] if "example" in content else []
        for example in examples:
            assert problems(content["schema"], example) == []
            count += 1
    assert count >= 8
    for code, example in document()["components"]["examples"].items():
        assert problems({"$ref": "#/components/schemas/ErrorBody"}, example["value"]) == [], code


BODIES: list[tuple[Any, bool]] = [
    ({"images": ["a"], "prompt": "x"}, True),
    ({"images": ["a"] * 14, "prompt": " x ", "unknown": 1}, True),
    ({"images": ["a"], "prompt": "x", "aspectRatio": None, "imageSize": None, "model": None}, True),
    ({"images": ["a"], "prompt": "x", "includeBase64": None}, True),
    ({"images": ["a"], "prompt": "x" * MAX_PROMPT_CHARACTERS, "imageSize": "4K", "aspectRatio": "21:9"}, True),
    ({"images": ["a"], "prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, False),
    ({"images": ["a"] * 15, "prompt": "x"}, False),
    ({"from": "gen-1", "prompt": "x"}, True),
    ({"from": "gen-1", "images": [], "prompt": "x"}, True),
    ({"from": "gen-1", "images": ["a"] * 13, "prompt": "x"}, True),
    ({"from": "gen-1", "images": ["a"] * 14, "prompt": "x"}, False),
    ({"from": "", "images": ["a"], "prompt": "x"}, True),
    ({"from": "", "prompt": "x"}, False),
    ({"from": None, "images": ["a"], "prompt": "x"}, True),
    ({"from": 1, "images": ["a"], "prompt": "x"}, False),
    ({"from": "g" * 256, "prompt": "x"}, False),
    ({"images": [], "prompt": "x"}, False),
    ({"images": None, "prompt": "x"}, False),
    ({"images": "a", "prompt": "x"}, False),
    ({"images": [1], "prompt": "x"}, False),
    ({"prompt": "x"}, False),
    ({"images": ["a"]}, False),
    ({"images": ["a"], "prompt": None}, False),
    ({"images": ["a"], "prompt": " \n\t"}, False),
    ({"images": ["a"], "prompt": 3}, False),
    ({"images": ["a"], "prompt": "x", "aspectRatio": "7:3"}, False),
    ({"images": ["a"], "prompt": "x", "imageSize": "8K"}, False),
    ({"images": ["a"], "prompt": "x", "model": 1}, False),
    ({"images": ["a"], "prompt": "x", "model": "m" * 201}, False),
    ({"images": ["a"], "prompt": "x", "includeBase64": "no"}, False),
    ([], False),
    (None, False),
]


@pytest.mark.parametrize(("body", "accepted"), BODIES)
def test_document_accepts_the_bodies_that_the_parser_accepts(body: Any, accepted: bool) -> None:
    assert (problems({"$ref": "#/components/schemas/GenerateRequest"}, body) == []) is accepted
    try:
        GenerateRequest.parse(json.dumps(body).encode(), max_images=14)
    except ImageError:
        assert not accepted
    else:
        assert accepted


def test_sessions_have_the_cookies_of_both_nextauth_versions_or_the_configured_one() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert [scheme["name"] for scheme in schemes.values()] == list(NAMES)
    own = build(Settings.read({"NEXTAUTH_COOKIE_NAME": "studio+1", "MAX_IMAGES": "3", "GEMINI_MODELS": "a,b"}))
    validate(own)
    assert [scheme["name"] for scheme in own["components"]["securitySchemes"].values()] == ["studio+1"]
    fields = own["components"]["schemas"]["GenerateRequest"]["properties"]
    assert fields["model"]["anyOf"][0]["enum"] == ["a", "b"]
    assert own["components"]["schemas"]["GenerateRequest"]["properties"]["images"]["maxItems"] == 3
    for route in ROUTES:
        security = document()["paths"][f"/api/{route.path}"][route.method.lower()]["security"]
        assert security == ([] if route.public else [{name: []} for name in NAMES])


RUNNING = {"id": "x", "status": "running", "statusUrl": "/", "imageUrl": "/", "createdAt": "x", "expectedSeconds": 1}

DRIFTED: list[tuple[str, str, str, int, dict[str, str], Any]] = [
    ("a field that is not documented", "GET", "health", 200, {}, {"status": "ok", "version": "1", "more": 1}),
    ("a field of another type", "GET", "health", 200, {}, {"status": "ok", "version": 1}),
    ("a field that is missing", "GET", "generations", 200, {}, {"items": []}),
    ("a status that is not documented", "GET", "health", 404, {}, {}),
    ("an error of another route", "GET", "health", 500, {}, {"error": "x", "code": "refused", "retryable": False}),
    ("an unknown code", "GET", "none", 404, {}, {"error": "x", "code": "gone", "retryable": False}),
    ("a header that is missing", "POST", "image", 202, {"Location": "/"}, RUNNING),
    ("a running generation that is answered as finished", "POST", "image", 200, {}, RUNNING),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "body"), [row[1:] for row in DRIFTED], ids=[row[0] for row in DRIFTED]
)
def test_response_that_the_document_does_not_describe_is_found(
    method: str, path: str, status: int, headers: dict[str, str], body: Any
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    assert len(violations(method, path, status, headers, json.dumps(body).encode())) == 1


@pytest.mark.parametrize(
    ("settings", "servers"),
    [
        ({}, None),
        ({"NEXTAUTH_URL": "https://App.example.com:443/shop/api/auth"}, ["https://app.example.com"]),
        ({"NEXTAUTH_URL": "https://app.example.com:8443/"}, ["https://app.example.com:8443"]),
        # The machine of each developer.
        ({"NEXTAUTH_URL": "http://localhost:4280/"}, None),
        ({"NEXTAUTH_URL": "http://[::1]:4280"}, None),
        # The front end calls the API on another host, which the document cannot know.
        ({"NEXTAUTH_URL": "https://app.example.com", "ALLOWED_ORIGINS": "https://app.example.com"}, None),
    ],
)
def test_server_is_an_absolute_url_or_is_left_out(settings: dict[str, str], servers: list[str] | None) -> None:
    made = build(Settings.read(settings))
    validate(made)
    assert (servers is None) is ("servers" not in made)
    assert servers is None or [server["url"] for server in made["servers"]] == servers


def test_list_of_values_has_no_limits_beside_it() -> None:
    def schemas(part: Any) -> list[dict[str, Any]]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        here = [part] if isinstance(part, dict) and "enum" in part else []
        return here + [each for item in inner for each in schemas(item)]

    limits = {"maxLength", "minLength", "pattern", "minimum", "maximum"}
    found = [schema for schema in schemas(document()) if isinstance(schema["enum"], list)]
    assert len(found) >= 4
    assert [schema for schema in found if limits & set(schema)] == []


def test_both_successes_of_a_generation_have_one_schema_and_different_statuses() -> None:
    responses = document()["paths"]["/api/image"]["post"]["responses"]
    of_status = [responses[status]["content"]["application/json"]["schema"] for status in ("200", "202")]
    assert of_status[0] == of_status[1] == {"$ref": "#/components/schemas/GenerateAnswer"}
    schemas = document()["components"]["schemas"]
    named = {each["$ref"].rsplit("/", 1)[-1] for each in schemas["GenerateAnswer"]["oneOf"]}
    statuses = {name: schemas[name]["properties"]["status"] for name in named}
    assert {name: status["const"] for name, status in statuses.items()} == {
        "Result": "succeeded",
        "Running": "running",
        "DryRun": "checked",
    }
    assert {name for name in named if "status" in schemas[name]["required"]} == {"Result", "Running"}
