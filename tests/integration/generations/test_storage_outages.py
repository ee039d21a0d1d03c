"""If the image container is missing, the image is kept in the outbox and paid once; the answer has the id."""

import pytest

from tests.support.faulty_proxy import Answer, Rule, blob_error, cosmos_not_found
from tests.support.harness import Answer as Response
from tests.support.harness import Harness, sample_image
from tests.support.hosts import stores_image

KEY = {"Idempotency-Key": "one"}
MISSING = [blob_error(404, "ContainerNotFound"), blob_error(409, "ContainerBeingDeleted")]
ALWAYS = 100_000


def in_image_container(_: str, path: str) -> bool:
    return path.startswith(("/devstoreaccount1/catafract/", "/devstoreaccount1/catafract?"))


def in_private_container(_: str, path: str) -> bool:
    return "/catafract-private" in path


async def outbox(product: Harness, record_id: str, stem: str) -> list[str]:
    """Return the outbox's blobs of one generation."""
    names = [
        name for prefix in ("finished/", "images/") for name in await product.blob_names("catafract-private", prefix)
    ]
    return [name for name in names if record_id in name or stem in name]


async def generated_into_outbox(product: Harness) -> Response:
    """Generate while the image container is missing. Return the answer when the image is in the outbox."""
    waiting = await product.generate(headers={**KEY, "Prefer": "wait=1"})
    await product.drained()
    return waiting


@pytest.mark.parametrize("missing", MISSING, ids=["missing", "being deleted"])
async def test_image_whose_container_is_missing_is_kept_in_the_outbox_and_paid_once(
    missing: Answer, product: Harness
) -> None:
    outage = product.blobs.rule(Rule(in_image_container, ALWAYS, answer=missing))
    waiting = await generated_into_outbox(product)
    assert waiting.status == 202
    record_id = waiting.json["id"]
    stored = await product.record(record_id)
    assert stored is not None
    image = f"images/{stored['blobStem']}.png"
    assert await outbox(product, record_id, stored["blobStem"]) == [f"finished/{record_id}.json", image]
    assert (stored["status"], stored["leaseOwner"]) == ("running", None)
    again = await product.generate(headers={**KEY, "Prefer": "wait=1"})
    assert (again.status, again.json["id"]) == (202, record_id)
    messages = [each for each in await product.app.find_unfinished() if record_id in each]
    assert messages == [], "no model is needed, and so no message"
    assert len(product.fake_gemini.calls) == 1

    outage.times = 0
    await product.app.find_unfinished()
    made = await product.generate(headers=KEY)
    assert (made.status, made.headers["Idempotency-Replayed"], made.json["warnings"]) == (200, "true", [])
    assert made.json["text"]
    assert made.json["usage"]["costUsd"] == product.fake_gemini.billed_usd
    data, kind = await product.blob("catafract", f"{stored['blobStem']}.png")
    assert (data, kind) == (made.image, "image/png")
    assert await outbox(product, record_id, stored["blobStem"]) == []
    assert len(product.fake_gemini.calls) == 1


async def test_short_outage_of_a_container_gives_no_warning(product: Harness) -> None:
    product.blobs.rule(Rule(stores_image, 2, answer=MISSING[1]))
    made = await product.generate()
    assert (made.status, made.json["warnings"]) == (200, [])
    assert await outbox(product, made.json["id"], made.json["imageUrl"].rsplit("/", 1)[-1]) == []


async def test_image_in_the_outbox_is_found_without_its_completion(product: Harness) -> None:
    """The process died between the two writes to the outbox."""
    outage = product.blobs.rule(Rule(in_image_container, ALWAYS, answer=MISSING[0]))
    waiting = await generated_into_outbox(product)
    await product.app.components.reconciliation._outbox.delete(waiting.json["id"])
    outage.times = 0
    (queued,) = [each for each in await product.app.find_unfinished() if waiting.json["id"] in each]
    await product.app.resume(queued.encode())
    made = await product.generate(headers=KEY)
    assert made.status == 200
    assert made.json["warnings"][0].startswith("recovered")
    assert made.json["usage"]["costUsd"] == product.fake_gemini.billed_usd
    stem = made.json["imageUrl"].rsplit("/", 1)[-1].split(".")[0]
    assert await outbox(product, made.json["id"], stem) == []
    assert len(product.fake_gemini.calls) == 1


async def test_deleting_a_generation_in_the_outbox_deletes_its_entries(product: Harness) -> None:
    outage = product.blobs.rule(Rule(in_image_container, ALWAYS, answer=MISSING[0]))
    waiting = await generated_into_outbox(product)
    stored = await product.record(waiting.json["id"])
    assert stored is not None
    path = f"/api/generations/{waiting.json['id']}"
    refused = await product.call("DELETE", path)
    assert refused.status == 503, "its image may be in a container that exists again later"
    assert (await product.call("GET", path)).status == 404
    outage.times = 0
    await product.app.find_unfinished()
    assert await product.record(waiting.json["id"]) is None
    assert await outbox(product, waiting.json["id"], stored["blobStem"]) == []
    assert (await product.call("GET", "/api/usage")).json["today"]["costUsd"] == product.fake_gemini.billed_usd


@pytest.mark.parametrize("missing", MISSING, ids=["missing", "being deleted"])
async def test_missing_private_container_is_503_without_a_call(missing: Answer, product: Harness) -> None:
    product.blobs.rule(Rule(in_private_container, ALWAYS, answer=missing))
    refused = await product.generate()
    assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
    assert product.fake_gemini.calls == []


@pytest.mark.parametrize("missing", MISSING, ids=["missing", "being deleted"])
async def test_upload_is_503_while_its_container_is_missing(missing: Answer, product: Harness) -> None:
    boundary = "b"
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        + sample_image()
        + b"\r\n--b--\r\n"
    )
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    outage = product.blobs.rule(Rule(in_image_container, ALWAYS, answer=missing))
    refused = await product.call("POST", "/api/upload", form, headers)
    assert (refused.status, refused.json["code"]) == (503, "storage_unavailable")
    outage.times = 0
    stored = await product.call("POST", "/api/upload", form, headers)
    assert stored.status == 200
    assert (await product.blob("catafract", stored.json["url"].rsplit("/", 1)[-1]))[0]


@pytest.mark.parametrize("sub_status", [1002, 1003])
async def test_missing_database_container_is_503_and_never_404(sub_status: int, product: Harness) -> None:
    made = await product.generate(headers=KEY)
    before = len(product.cosmos.requests)
    product.cosmos.rule(Rule(lambda _, path: "/docs" in path, ALWAYS, answer=cosmos_not_found(sub_status)))
    calls = [
        await product.generate(headers=KEY),
        await product.generate(headers={"Idempotency-Key": "another"}),
        await product.generate(),
        await product.call("GET", f"/api/generations/{made.json['id']}"),
        await product.call("DELETE", f"/api/generations/{made.json['id']}"),
        await product.call("GET", "/api/generations"),
        await product.call("GET", "/api/usage"),
    ]
    assert {(each.status, each.json["code"]) for each in calls} == {(503, "storage_unavailable")}
    assert len(product.cosmos.requests) - before < 100, "no endless loop"
    assert len(product.fake_gemini.calls) == 1
