"""History, waiting, deleting, images by name, uploads: to their owner, and to nobody else."""

import asyncio
import json
from urllib.parse import quote

import pytest

from local.emulators import AzuritePorts
from local.gemini.script import finished, overloaded
from tests.harness import Harness, data_url, harness, picture

pytestmark = pytest.mark.emulators


async def test_the_history_is_paged_newest_first_without_the_long_fields(product: Harness) -> None:
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
async def test_a_limit_that_is_none_is_told(product: Harness, limit: str) -> None:
    answer = await product.call("GET", f"/api/generations?limit={limit}")
    assert (answer.status, answer.json["field"]) == (400, "limit")


async def test_a_forged_continuation_is_told(product: Harness) -> None:
    answer = await product.call("GET", "/api/generations?continuation=eyJhIjoxfQ")
    assert (answer.status, answer.json["field"]) == (400, "continuation")


async def test_one_generation_has_its_documented_fields_and_no_others(product: Harness) -> None:
    made = (await product.generate(aspectRatio="1:1")).json
    found = (await product.call("GET", f"/api/generations/{made['id']}")).json
    assert {name: found[name] for name in made if name != "imageBase64"} == {
        name: value for name, value in made.items() if name != "imageBase64"
    }
    assert set(found) - set(made) == {
        "prompt", "inputImages", "inputs", "outputImageUrl", "createdAt", "completedAt", "userId", "options", "error",
    }  # fmt: skip
    assert found["userId"] == product.email


async def test_a_failed_one_is_200_with_its_error(product: Harness) -> None:
    product.standin.script.add(finished("SAFETY"))
    failed = await product.generate()
    found = await product.call("GET", f"/api/generations/{failed.json['id']}")
    assert found.status == 200
    assert found.json["status"] == "failed"
    assert found.json["error"]["code"] == "refused"


async def test_while_it_runs_it_says_so_and_waiting_answers_as_soon_as_it_is_finished(product: Harness) -> None:
    product.standin.latency = 1.5
    started = await product.generate(headers={"Prefer": "wait=0"})
    assert started.status == 202
    (message,) = started.enqueue
    resuming = asyncio.create_task(product.app.resume(message.encode()))
    await asyncio.sleep(0.5)
    running = await product.call("GET", f"/api/generations/{started.json['id']}")
    assert (running.status, running.json["status"]) == (200, "running")
    assert int(running.headers["Retry-After"]) > 0
    waited = await product.call("GET", f"/api/generations/{started.json['id']}", headers={"Prefer": "wait=20"})
    assert waited.json["status"] == "succeeded"
    assert waited.headers["Preference-Applied"] == "wait=20"
    await resuming


async def test_what_takes_longer_than_the_budget_is_202_and_goes_on(product: Harness) -> None:
    product.standin.latency = 2
    answer = await product.generate(headers={"Prefer": "wait=1"})
    assert answer.status == 202
    assert answer.json["status"] == "running"
    assert answer.headers["Location"] == answer.json["statusUrl"] == f"/api/generations/{answer.json['id']}"
    assert answer.json["expectedSeconds"] >= 1
    assert answer.enqueue == ()
    await product.drained()
    found = await product.call("GET", answer.json["statusUrl"])
    assert found.json["status"] == "succeeded"


async def test_a_caller_that_goes_away_finds_its_picture_with_its_key(product: Harness) -> None:
    product.standin.latency = 1
    key = {"Idempotency-Key": "gone-away"}
    call = asyncio.create_task(product.generate(headers=key))
    await product.called()
    call.cancel()
    again = await product.generate(headers=key)
    assert again.status == 200
    assert len(product.standin.calls) == 1


NAMES = ["..", ".", "a/b", "a%2Fb", "..%2F..%2Fx", "%00", "é" * 100, "x" * 4096, "gen-none", "' OR 1=1", "%"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["generations", "images"])
async def test_a_name_that_is_nothing_is_404(product: Harness, path: str, name: str) -> None:
    sent = name if "%" in name or "/" in name else quote(name)
    for method in ("GET", "DELETE") if path == "generations" else ("GET",):
        answer = await product.call(method, f"/api/{path}/{sent}")
        assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_another_users_generations_and_pictures_are_not_there(product: Harness) -> None:
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
    assert (await product.call("GET", f"/api/images/{copy}")).body == picture()
    assert (await product.call("GET", f"/api/images/{name}")).status == 200


async def test_a_deleted_generation_is_gone_and_so_is_its_picture(product: Harness) -> None:
    made = (await product.generate()).json
    name = made["imageUrl"].rsplit("/", 1)[-1]
    assert (await product.call("DELETE", f"/api/generations/{made['id']}")).status == 204
    assert (await product.call("DELETE", f"/api/generations/{made['id']}")).status == 404
    assert (await product.call("GET", f"/api/generations/{made['id']}")).status == 404
    assert await product.record(made["id"]) is None
    assert await product.blob_names("catafract", name) == []


async def test_a_picture_by_name_is_cached_ranged_and_never_a_page(product: Harness) -> None:
    made = await product.generate()
    path = f"/api/images/{made.json['imageUrl'].rsplit('/', 1)[-1]}"
    whole = await product.call("GET", path)
    assert whole.body == made.image
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert "private" in whole.headers["Cache-Control"]
    assert "immutable" in whole.headers["Cache-Control"]
    same = await product.call("GET", path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    size = len(made.image)
    for asked, status, data in (
        ("bytes=0-99", 206, made.image[:100]),
        ("bytes=100-", 206, made.image[100:]),
        ("bytes=-50", 206, made.image[-50:]),
        (f"bytes={size - 1}-{size + 5}", 206, made.image[-1:]),
        (f"bytes={size}-", 416, b""),
        ("bytes=5-2", 200, made.image),
        ("bytes=0-1,4-5", 200, made.image),
        ("lines=1-2", 200, made.image),
    ):
        part = await product.call("GET", path, headers={"Range": asked})
        assert (part.status, part.body) == (status, data), asked
    stale = await product.call("GET", path, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert stale.status == 200


def form(data: bytes, name: str = "photo.jpg", field: str = "file") -> tuple[bytes, dict[str, str]]:
    boundary = "----boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
    return head + data + f"\r\n--{boundary}--\r\n".encode(), {
        "Content-Type": f"multipart/form-data; boundary={boundary}"
    }


async def test_an_uploaded_file_has_an_address_that_is_an_input(product: Harness) -> None:
    body, headers = form(picture(), "../My Photo é.PNG")
    answer = await product.call("POST", "/api/upload", body, headers)
    assert answer.status == 200, answer.body
    name = answer.json["url"].rsplit("/", 1)[-1]
    assert name.endswith("-My-Photo-e.jpg")
    assert await product.blob("catafract", name) == (picture(), "image/jpeg")
    assert (await product.generate(answer.json["url"])).status == 200
    assert (await product.call("GET", f"/api/images/{name}")).body == picture()
    async with product.another("eve@example.com") as eve:
        assert (await eve.call("GET", f"/api/images/{name}")).status == 404


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (*form(b"", field="other"), 400, "no_file"),
        (b"nothing", {"Content-Type": "multipart/form-data"}, 400, "no_file"),
        (b"nothing", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "no_file"),
        (b"{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (*form(b"no image"), 400, "invalid_image"),
        (*form(b""), 400, "invalid_image"),
        (*form(b"%PDF-1.7"), 415, "unsupported_media_type"),
    ],
    ids=["another field", "no boundary", "no parts", "no form", "no image", "empty", "PDF"],
)
async def test_a_bad_upload_is_told(
    product: Harness, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await product.call("POST", "/api/upload", body, headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    if code == "no_file":
        assert answer.json["error"] in {"No file provided", "The form cannot be read"}


async def test_a_missing_file_has_the_fixed_message(product: Harness) -> None:
    body, headers = form(picture(), field="other")
    assert (await product.call("POST", "/api/upload", body, headers)).json["error"] == "No file provided"


async def test_private_pictures_lie_in_their_users_folder_and_are_read_by_their_owner_only(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, IMAGE_ACCESS="private") as ada:
        made = await ada.generate()
        url = made.json["imageUrl"]
        assert url.startswith("/api/images/generated-")
        (blob,) = await ada.blob_names("catafract", f"{_folder(ada)}/")
        assert blob == f"{_folder(ada)}/{url.rsplit('/', 1)[-1]}"
        assert (await ada.call("GET", url)).body == made.image
        again = await ada.generate(url)
        assert again.status == 200
        async with ada.another("eve@example.com") as eve:
            assert (await eve.call("GET", url)).status == 404
            assert (await eve.generate(url)).json["code"] == "invalid_image"
            direct = f"{ada.blob_base}/catafract/{blob}"
            assert (await eve.generate(direct)).json["code"] == "url_not_allowed"
        assert (await ada.call("DELETE", f"/api/generations/{made.json['id']}")).status == 204
        assert blob not in await ada.blob_names("catafract", f"{_folder(ada)}/")


def _folder(product: Harness) -> str:
    from image_core.user import User  # noqa: PLC0415 - one line's need

    return User(product.email).folder


async def test_a_user_may_run_so_many_at_once_and_no_more(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_CONCURRENT_PER_USER="2") as product:
        product.standin.latency = 2
        for _ in range(2):
            assert (await product.generate(headers={"Prefer": "wait=1"})).status == 202
        refused = await product.generate(headers={"Idempotency-Key": "third"})
        assert (refused.status, refused.json["code"]) == (429, "too_many_generations")
        assert int(refused.headers["Retry-After"]) > 0
        async with product.another("bob@example.com") as bob:
            assert (await bob.generate(headers={"Prefer": "wait=1"})).status == 202
            await bob.drained()
        await product.drained()
        assert (await product.generate(headers={"Idempotency-Key": "third"})).status == 200


async def test_beyond_the_process_limit_the_answer_is_busy(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_INFLIGHT_BYTES="100000") as product:
        answer = await product.generate(headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "busy", True)
        assert int(answer.headers["Retry-After"]) > 0
        assert product.app.machinery.inflight.held == 0
        assert product.standin.calls == []


async def test_an_overloaded_model_says_when_to_come_back_and_a_retry_runs_again(product: Harness) -> None:
    product.standin.script.add(*(overloaded() for _ in range(6)))
    key = {"Idempotency-Key": "again"}
    first = await product.generate(headers=key)
    assert (first.status, first.json["code"], first.json["retryable"]) == (503, "model_unavailable", True)
    assert int(first.headers["Retry-After"]) > 0
    second = await product.generate(headers=key)
    assert second.status == 200
    assert second.json["id"] == first.json["id"]
    assert len(second.json["attempts"]) == 7  # what was tried before stays on the bill


async def test_a_replay_is_the_same_answer_without_a_call(product: Harness) -> None:
    key = {"Idempotency-Key": "same"}
    first = await product.generate(headers=key)
    async with product.another() as elsewhere:
        second = await elsewhere.generate(headers=key)
    assert second.json == first.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(product.standin.calls) == 1
    other = await product.generate(prompt="something else", headers=key)
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    async with product.another("bob@example.com") as bob:
        assert (await bob.generate(prompt="something else", headers=key)).status == 200


async def test_a_refusal_is_replayed_as_it_was(product: Harness) -> None:
    product.standin.script.add(finished("SAFETY", {"text": "No."}))
    key = {"Idempotency-Key": "refused"}
    first = await product.generate(headers=key)
    second = await product.generate(headers=key)
    assert second.status == first.status == 500
    assert second.json == first.json
    assert len(product.standin.calls) == 1


async def test_an_error_before_the_record_does_not_use_the_key_up(product: Harness) -> None:
    key = {"Idempotency-Key": "early"}
    assert (await product.generate("aGVsbG8=", headers=key)).status == 400
    assert (await product.generate(headers=key)).status == 200


async def test_a_deleted_generation_frees_its_key(product: Harness) -> None:
    key = {"Idempotency-Key": "free"}
    first = await product.generate(headers=key)
    await product.call("DELETE", f"/api/generations/{first.json['id']}")
    assert (await product.generate(headers=key)).status == 200
    assert len(product.standin.calls) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_is_none_is_told(product: Harness, key: str) -> None:
    answer = await product.generate(headers={"Idempotency-Key": key})
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")


async def test_a_message_that_is_not_ours_is_left_to_the_queue(product: Harness) -> None:
    for body in (b"", b"hello", b"[]", b"{}", json.dumps({"id": "x"}).encode(), b'{"id":1,"userId":2}', b"x" * 5000):
        with pytest.raises(ValueError):
            await product.app.resume(body)
    await product.app.resume(json.dumps({"id": "gen-none", "userId": "nobody@example.com"}).encode())


async def test_other_origins_may_call_where_they_are_named(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
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


async def test_a_retired_model_shows_in_the_deep_look(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, GEMINI_MODELS="gone-1,gemini-3-pro-image") as product:
        assert (await product.generate()).json["model"] == "gemini-3-pro-image"
        seen = (await product.call("GET", "/api/health?deep=1", signed_in=False)).json["dependencies"]["model"]
        assert list(seen["retired"]) == ["gone-1"]
        assert seen["models"]["gone-1"] == "status 404"
        before = len(product.cosmos.seen)
        for _ in range(5):
            await product.call("GET", "/api/health?deep=1", signed_in=False)
        assert len(product.cosmos.seen) == before


async def test_nothing_private_is_in_the_logs(product: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "image_core")
    await product.generate(data_url(picture("cat.png")), prompt="my very secret plan")
    product.standin.script.add(finished("SAFETY", {"text": "a secret refusal"}))
    await product.generate(prompt="my very secret plan")
    await product.generate("https://user:hush@example.com/?sig=secret", prompt="my very secret plan")
    own = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("image_core"))
    for word in ("secret", product.email, "hush", product.cookie[-30:], "base64"):
        assert word not in own
