"""`POST /api/image`: generating an image, and the fixed answers of the contract."""

import io
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from PIL import Image

from local.emulators import AzuritePorts
from local.gemini.script import finished
from tests.support.harness import Harness, data_url, harness, sample_image


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


async def test_photograph_and_prompt_give_a_new_image_that_is_stored(product: Harness) -> None:
    answer = await product.generate(prompt="a watercolor painting")
    assert answer.status == 200, answer.body
    body = answer.json
    assert list(body)[:3] == ["imageBase64", "imageUrl", "text"]
    assert body["imageBase64"].startswith("data:image/png;base64,")
    assert answer.image != sample_image()
    assert opened(answer.image).size == (body["width"], body["height"])
    assert body["status"] == "succeeded"
    assert body["model"] == "gemini-3-pro-image"
    assert body["mimeType"] == "image/png"
    assert "fake" in body["text"]
    assert body["usage"]["costUsd"] == pytest.approx(product.fake_gemini.billed_usd)
    assert [attempt["outcome"] for attempt in body["attempts"]] == ["ok"]
    assert body["warnings"] == []
    name = body["imageUrl"].rsplit("/", 1)[-1]
    assert re.fullmatch(r"generated-\d{13}-[0-9a-f]{32}\.png", name)
    assert body["imageUrl"] == f"{product.blob_base}/catafract/{name}"
    assert await product.blob("catafract", name) == (answer.image, "image/png")


async def test_record_has_the_fixed_fields(product: Harness) -> None:
    body = (await product.generate(prompt="a pencil sketch", aspectRatio="1:1")).json
    record = await product.record(body["id"])
    assert record is not None
    assert re.fullmatch(r"gen-\d{13}-[0-9a-f]+", record["id"])
    assert record["userId"] == product.email
    assert record["prompt"] == "a pencil sketch"
    assert record["outputImageUrl"] == body["imageUrl"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["createdAt"])
    assert record["status"] == "succeeded"
    assert record["options"] == {"aspectRatio": "1:1"}
    assert [re.sub(r"[0-9a-f]{64}", "SHA", url) for url in record["inputImages"]] == ["/api/images/input-SHA.jpg"]
    assert "leaseExpiresAt" not in record
    assert "base64" not in str(record)


@pytest.fixture
async def external_server() -> AsyncIterator[str]:
    """Serve an image over HTTP and return the server's address."""

    async def rocket(_: web.Request) -> web.Response:
        return web.Response(body=sample_image("rocket.webp"), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/rocket", rocket)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_inputs_of_every_kind_reach_the_model_in_order(
    azurite_ports: AzuritePorts, cosmos_url: str, external_server: str
) -> None:
    async with harness(azurite_ports, cosmos_url, FETCH_ALLOW_HOSTS="localhost") as product:
        first = (await product.generate(prompt="black and white")).json
        bare = data_url(sample_image("cat.png")).partition(",")[2]
        answer = await product.generate(
            data_url(sample_image(), "image/jpeg"), first["imageUrl"], f"{external_server}/rocket?token=hush#part", bare
        )
        assert answer.status == 200, answer.body
        assert product.fake_gemini.calls[-1].inputs == 4
        record = await product.record(answer.json["id"])
        assert record is not None
        assert [copy["mimeType"] for copy in record["inputs"]] == ["image/jpeg", "image/png", "image/webp", "image/png"]
        assert record["inputImages"][1] == first["imageUrl"]
        assert record["inputImages"][2] == f"{external_server}/rocket"


async def test_private_address_is_refused_without_a_call(product: Harness, external_server: str) -> None:
    answer = await product.generate(data_url(sample_image()), f"{external_server}/rocket")
    assert (answer.status, answer.json["code"], answer.json["imageIndex"]) == (400, "url_not_allowed", 1)
    assert product.fake_gemini.calls == []


async def test_answer_without_base64_has_the_url_alone(product: Harness) -> None:
    answer = await product.generate(includeBase64=False)
    assert answer.json["imageBase64"] is None
    assert answer.json["imageUrl"]


async def test_options_reach_the_model(product: Harness) -> None:
    answer = await product.generate(aspectRatio="16:9", imageSize="2K", model="gemini-3-pro-image")
    assert answer.json["model"] == "gemini-3-pro-image"
    assert (answer.json["width"], answer.json["height"]) == (2752, 1536)
    assert product.fake_gemini.calls[0].image_config == {"aspectRatio": "16:9", "imageSize": "2K"}


REFUSED: list[tuple[str, dict[str, object], int, dict[str, object]]] = [
    ("no images", {"images": []}, 400, {"error": "No images provided", "code": "no_images"}),
    ("no prompt", {"prompt": " "}, 400, {"error": "No prompt provided", "code": "no_prompt"}),
    ("a model that is not in the chain", {"model": "gpt-5"}, 400, {"code": "invalid_request", "field": "model"}),
    ("bad base64", {"images": ["data:image/png;base64,@@@"]}, 400, {"code": "invalid_image", "imageIndex": 0}),
    ("not an image", {"images": ["aGVsbG8gd29ybGQ="]}, 400, {"code": "invalid_image", "imageIndex": 0}),
    ("an empty string", {"images": [""]}, 400, {"code": "invalid_image", "imageIndex": 0}),
    ("another scheme", {"images": ["file:///etc/passwd"]}, 400, {"code": "url_not_allowed", "imageIndex": 0}),
    ("the metadata service", {"images": ["http://169.254.169.254/metadata"]}, 400, {"code": "url_not_allowed"}),
]


@pytest.mark.parametrize(
    ("fields", "status", "expected"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_invalid_request_is_refused_without_a_call(
    product: Harness, fields: dict[str, object], status: int, expected: dict[str, object]
) -> None:
    answer = await product.call("POST", "/api/image", {"images": [data_url(sample_image())], "prompt": "x", **fields})
    assert answer.status == status
    assert {name: answer.json.get(name) for name in expected} == expected
    assert {"error", "code", "retryable"} <= set(answer.json)
    assert product.fake_gemini.calls == []


async def test_request_without_a_session_is_401_whatever_its_body(product: Harness) -> None:
    answer = await product.call("POST", "/api/image", b"not even JSON", signed_in=False)
    assert (answer.status, answer.json["error"]) == (401, "Unauthorized")
    assert "WWW-Authenticate" not in answer.headers


async def test_request_that_is_not_json_is_415(product: Harness) -> None:
    answer = await product.call("POST", "/api/image", b"x=1", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["text/plain;charset=UTF-8", ""])
async def test_body_with_the_default_type_of_fetch_is_read_as_json(product: Harness, media_type: str) -> None:
    answer = await product.generate(headers={"Content-Type": media_type}, aspectRatio="auto", imageSize="")
    assert answer.status == 200


async def test_compressed_body_is_415_and_names_its_encoding(product: Harness) -> None:
    answer = await product.generate(headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert "gzip" in answer.json["details"]


@pytest.mark.parametrize("path", ["/api/image", "/api/upload"])
async def test_body_without_a_length_is_411(product: Harness, path: str) -> None:
    answer = await product.call("POST", path, b"", {"Transfer-Encoding": "chunked"})
    assert (answer.status, answer.json["code"]) == (411, "length_required")


async def test_path_is_case_insensitive(product: Harness) -> None:
    body = {"images": [data_url(sample_image())], "prompt": "x"}
    assert (await product.call("POST", "/api/IMAGE", body)).status == 200


async def test_request_over_the_limit_is_413_and_names_the_limit(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_REQUEST_BYTES="1000") as product:
        answer = await product.generate()
        assert (answer.status, answer.json["code"]) == (413, "request_too_large")
        assert "1000" in answer.json["details"]


async def test_missing_api_key_has_the_fixed_message(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, GEMINI_API_KEY="") as product:
        answer = await product.generate()
        assert answer.status == 500
        assert answer.json["error"] == (
            "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file"
        )
        bad = await product.call("POST", "/api/image", {"prompt": "x"})
        assert bad.json["code"] == "no_images"


async def test_refusal_has_the_fixed_message_and_the_models_text(product: Harness) -> None:
    product.fake_gemini.script.add(finished("IMAGE_SAFETY", {"text": "I cannot draw that."}))
    answer = await product.generate()
    assert answer.status == 500
    assert answer.json["error"] == "No image was generated"
    assert answer.json["code"] == "refused"
    assert answer.json["text"] == "I cannot draw that."
    assert answer.json["finishReason"] == "IMAGE_SAFETY"
    assert answer.json["retryable"] is False
    assert len(product.fake_gemini.calls) == 1
    record = await product.record(answer.json["id"])
    assert record is not None
    assert record["status"] == "failed"
    assert record["error"]["code"] == "refused"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/image", 405, "method_not_allowed"),
        ("PUT", "/api/generations/x", 405, "method_not_allowed"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("POST", "/api/image/more", 404, "not_found"),
    ],
)
async def test_wrong_route_is_404_and_wrong_method_405(
    product: Harness, method: str, path: str, status: int, code: str
) -> None:
    answer = await product.call(method, path)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert ("Allow" in answer.headers) == (status == 405)


async def test_missing_session_secret_is_500_misconfigured(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, NEXTAUTH_SECRET="") as product:
        answer = await product.generate()
        assert (answer.status, answer.json["code"]) == (500, "misconfigured")
        assert "NEXTAUTH" not in answer.body.decode()
        assert (await product.call("GET", "/api/health", signed_in=False)).status == 200


async def test_deep_health_has_the_status_of_each_dependency_and_no_secret(product: Harness) -> None:
    answer = await product.call("GET", "/api/health?deep=1", signed_in=False)
    assert answer.status == 200, answer.body
    assert {name: state["status"] for name, state in answer.json["dependencies"].items()} == {
        "database": "ok",
        "storage": "ok",
        "model": "ok",
        "session": "ok",
    }
    assert "devstoreaccount1" not in answer.body.decode()
