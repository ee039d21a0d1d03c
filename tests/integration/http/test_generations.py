"""The history, waiting and deletion. A user sees only their own generations."""

import asyncio
import json
from urllib.parse import quote

import pytest
from azure.cosmos.aio import CosmosClient

from image_core.errors import StorageUnavailable
from local.emulators import AzuritePorts, cosmos_connection_string
from local.gemini.script import finished
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, data_url, harness, sample_image
from tests.support.hosts import stores_image


async def test_history_is_paged_newest_first_without_the_long_fields(product: Harness) -> None:
    made = [(await product.generate(prompt=f"number {number}")).json["id"] for number in range(3)]
    first = await product.call("GET", "/api/generations?limit=2")
    assert [item["id"] for item in first.json["items"]] == [made[2], made[1]]
    assert first.json["items"][0]["imageUrl"]
    assert not {"text", "attempts", "requestHash", "blobStem", "leaseOwner", "imageBase64"} & set(
        first.json["items"][0]
    )
    rest = await product.call("GET", f"/api/generations?limit=2&continuation={first.json['continuation']}")
    assert [item["id"] for item in rest.json["items"]] == [made[0]]
    assert rest.json["continuation"] is None


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000000", "abc", "1.5", "٣", "%20"])
async def test_invalid_limit_is_400(product: Harness, limit: str) -> None:
    answer = await product.call("GET", f"/api/generations?limit={limit}")
    assert (answer.status, answer.json["field"]) == (400, "limit")


async def test_forged_continuation_is_400(product: Harness) -> None:
    answer = await product.call("GET", "/api/generations?continuation=eyJhIjoxfQ")
    assert (answer.status, answer.json["field"]) == (400, "continuation")


async def test_generation_has_its_documented_fields_and_no_others(product: Harness) -> None:
    made = (await product.generate(aspectRatio="1:1")).json
    found = (await product.call("GET", f"/api/generations/{made['id']}")).json
    assert {name: found[name] for name in made if name != "imageBase64"} == {
        name: value for name, value in made.items() if name != "imageBase64"
    }
    assert set(found) - set(made) == {
        "prompt", "inputImages", "inputs", "outputImageUrl", "createdAt", "completedAt", "userId", "options", "error",
        "parentId", "rootId",
    }  # fmt: skip
    assert found["userId"] == product.email


async def test_failed_generation_is_200_with_its_error(product: Harness) -> None:
    product.fake_gemini.script.add(finished("SAFETY"))
    failed = await product.generate()
    found = await product.call("GET", f"/api/generations/{failed.json['id']}")
    assert found.status == 200
    assert found.json["status"] == "failed"
    assert found.json["error"]["code"] == "refused"


async def test_running_generation_is_answered_at_once_or_with_its_end(product: Harness) -> None:
    release = asyncio.Event()
    storing = product.blobs.rule(Rule(stores_image, before=release.wait))
    started = await product.generate(headers={"Prefer": "wait=0"})
    assert started.status == 202
    (message,) = started.enqueue
    resuming = asyncio.create_task(product.app.resume(message.encode()))
    await storing.hit.wait()
    running = await product.call("GET", f"/api/generations/{started.json['id']}")
    assert (running.status, running.json["status"]) == (200, "running")
    assert int(running.headers["Retry-After"]) > 0
    waiting = asyncio.create_task(
        product.call("GET", f"/api/generations/{started.json['id']}", headers={"Prefer": "wait=20"})
    )
    release.set()
    waited = await waiting
    assert waited.json["status"] == "succeeded"
    assert waited.headers["Preference-Applied"] == "wait=20"
    await resuming


async def test_generation_that_exceeds_the_response_budget_is_202_and_goes_on(product: Harness) -> None:
    product.fake_gemini.latency = 2
    answer = await product.generate(headers={"Prefer": "wait=1"})
    assert answer.status == 202
    assert answer.json["status"] == "running"
    assert answer.headers["Location"] == answer.json["statusUrl"] == f"/api/generations/{answer.json['id']}"
    assert answer.json["expectedSeconds"] >= 1
    assert answer.enqueue == ()
    await product.drained()
    found = await product.call("GET", answer.json["statusUrl"])
    assert found.json["status"] == "succeeded"


NAMES = ["..", ".", "a/b", "a%2Fb", "..%2F..%2Fx", "%00", "é" * 100, "x" * 4096, "gen-none", "' OR 1=1", "%"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["generations", "images"])
async def test_unknown_or_malformed_name_is_404(product: Harness, path: str, name: str) -> None:
    sent = name if "%" in name or "/" in name else quote(name)
    for method in ("GET", "DELETE") if path == "generations" else ("GET",):
        answer = await product.call(method, f"/api/{path}/{sent}")
        assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_another_users_generations_and_images_are_404(product: Harness) -> None:
    made = (await product.generate()).json
    copy = (await product.call("GET", f"/api/generations/{made['id']}")).json["inputs"][0]["name"]
    name = made["imageUrl"].rsplit("/", 1)[-1]
    async with product.another("eve@example.com") as eve:
        for method, path in (
            ("GET", f"generations/{made['id']}"),
            ("DELETE", f"generations/{made['id']}"),
            ("GET", f"images/{name}"),
            ("GET", f"images/{copy}"),
        ):
            assert (await eve.call(method, f"/api/{path}")).status == 404
        assert (await eve.call("GET", "/api/generations")).json["items"] == []
        stolen = await eve.generate(f"/api/images/{copy}")
        assert stolen.json["code"] == "invalid_image"
    assert (await product.call("GET", f"/api/images/{copy}")).body == sample_image()
    assert (await product.call("GET", f"/api/images/{name}")).status == 200


async def test_deletion_removes_the_record_and_the_image(product: Harness) -> None:
    made = (await product.generate()).json
    name = made["imageUrl"].rsplit("/", 1)[-1]
    assert (await product.call("DELETE", f"/api/generations/{made['id']}")).status == 204
    assert (await product.call("DELETE", f"/api/generations/{made['id']}")).status == 404
    assert (await product.call("GET", f"/api/generations/{made['id']}")).status == 404
    assert await product.record(made["id"]) is None
    assert await product.blob_names("catafract", name) == []


async def test_malformed_message_or_one_of_an_unknown_generation_is_left_to_the_queue(product: Harness) -> None:
    for body in (b"", b"hello", b"[]", b"{}", json.dumps({"id": "x"}).encode(), b'{"id":1,"userId":2}', b"x" * 5000):
        with pytest.raises(ValueError):
            await product.app.resume(body)
    missing = {"id": "gen-none", "userId": "nobody@example.com"}
    with pytest.raises(StorageUnavailable):  # the record may not be readable in this process yet
        await product.app.resume(json.dumps(missing).encode())
    await product.app.resume(json.dumps({**missing, "queuedAt": "2026-01-01T00:00:00.000Z"}).encode())


async def test_only_an_allowed_origin_gets_cors_headers(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, ALLOWED_ORIGINS="https://studio.example.com") as product:
        origin = {"Origin": "https://studio.example.com", "Sec-Fetch-Site": "cross-site"}
        preflight = await product.call("OPTIONS", "/api/image", headers=origin, signed_in=False)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        for answer in (await product.generate(headers=origin), await product.generate("@@", headers=origin)):
            assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        evil = await product.generate(headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
        assert (evil.status, evil.json["code"]) == (403, "cross_site")
        assert "Access-Control-Allow-Origin" not in evil.headers


async def test_deep_health_reports_a_model_that_is_gone(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, GEMINI_MODELS="gone-1,gemini-3-pro-image") as product:
        assert (await product.generate()).json["model"] == "gemini-3-pro-image"
        model = (await product.call("GET", "/api/health?deep=1", signed_in=False)).json["dependencies"]["model"]
        assert list(model["retired"]) == ["gone-1"]
        assert model["models"]["gone-1"] == "status 404"
        before = len(product.cosmos.requests)
        for _ in range(5):
            await product.call("GET", "/api/health?deep=1", signed_in=False)
        assert len(product.cosmos.requests) == before


async def test_log_has_no_prompt_address_cookie_or_image(product: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "image_core")
    await product.generate(data_url(sample_image("cat.png")), prompt="my very secret plan")
    product.fake_gemini.script.add(finished("SAFETY", {"text": "a secret refusal"}))
    await product.generate(prompt="my very secret plan")
    await product.generate("https://user:hush@example.com/?sig=secret", prompt="my very secret plan")
    own = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("image_core"))
    for word in ("secret", product.email, "hush", product.cookie[-30:], "base64"):
        assert word not in own


async def test_record_of_the_original_product_is_listed_with_every_field(product: Harness) -> None:
    old = {
        "id": "gen-1704067230000-abc",
        "userId": product.email,
        "prompt": "as it was",
        "inputImages": ["https://example.com/a.png"],
        "outputImageUrl": "https://example.com/b.png",
        "createdAt": "2024-01-01T00:00:30.000Z",
    }
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        await client.get_database_client("catafract").get_container_client("generations").create_item(old)
    (item,) = (await product.call("GET", "/api/generations")).json["items"]
    assert {name: item[name] for name in old} == old
    assert (item["status"], item["imageUrl"], item["warnings"]) == ("succeeded", old["outputImageUrl"], [])
    assert (await product.call("GET", f"/api/generations/{old['id']}")).json["status"] == "succeeded"
