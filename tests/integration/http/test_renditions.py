"""Renditions and output formats: made once, cached, private to their owner, and deleted with their image."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from image_core.generations.reconciliation import Kind
from image_core.images.metadata import png_chunk
from local.emulators import AzuritePorts
from local.gemini.script import finished
from tests.support.faulty_proxy import Rule, blob_error
from tests.support.gemini_responses import part
from tests.support.harness import Answer, Harness, harness, sample_image
from tests.support.original_product import put_blob, put_record


@pytest.fixture
def product(product: Harness) -> Harness:
    """Give the fake Gemini's images their documented sizes, which exceed those of the renditions."""
    product.fake_gemini.shrink = 1
    return product


def image(answer: Answer) -> Image.Image:
    assert answer.status == 200, answer.body
    opened = Image.open(io.BytesIO(answer.body))
    opened.load()
    assert answer.headers["Content-Type"] == Image.MIME[opened.format or ""]
    return opened


def stores_rendition(method: str, path: str) -> bool:
    return method == "PUT" and "/catafract-private/renditions/" in path


async def test_thumbnail_is_small_and_its_url_is_in_answer_list_and_details(product: Harness) -> None:
    made = await product.generate()
    url = made.json["thumbnailUrl"]
    assert url.endswith("?w=320&format=webp")
    shown = await product.call("GET", url)
    thumbnail = image(shown)
    assert (thumbnail.format, thumbnail.width) == ("WEBP", 320)
    assert len(shown.body) < len(made.image) / 4
    listed = await product.call("GET", "/api/generations")
    detailed = await product.call("GET", f"/api/generations/{made.json['id']}")
    assert {listed.json["items"][0]["thumbnailUrl"], detailed.json["thumbnailUrl"]} == {url}


@pytest.mark.parametrize(
    ("query", "width", "format_name"),
    [
        ("w=1", 64, "WEBP"),
        ("w=64", 64, "WEBP"),
        ("w=65", 128, "WEBP"),
        ("w=321&format=jpeg", 480, "JPEG"),
        ("format=png&w=0320", 320, "PNG"),
        ("w=2048", None, "WEBP"),
        ("format=jpeg", None, "JPEG"),
    ],
)
async def test_width_is_rounded_up_to_the_ladder_and_never_enlarges(
    product: Harness, query: str, width: int | None, format_name: str
) -> None:
    made = await product.generate()
    for name in (made.json["thumbnailUrl"].partition("?")[0], f"/api/images/{made.json['id']}"):
        got = image(await product.call("GET", f"{name}?{query}"))
        assert (got.width, got.format) == (width or made.json["width"], format_name)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *((f"w={value}", "w") for value in ("0", "2049", "-1", "1.5", "abc", "", "1e2", "99999", "٣٢٠")),
        *((f"format={value}", "format") for value in ("gif", "", "WEBP", "jpg", "image/png")),
        ("w=320&format=avif", "format"),
        ("w=x&format=webp", "w"),
    ],
)
async def test_invalid_width_or_format_is_400_with_its_field(product: Harness, query: str, field: str) -> None:
    for name in ("generated-1704067230000-0.png", "gen-1704067230000-0"):
        refused = await product.call("GET", f"/api/images/{name}?{query}")
        assert (refused.status, refused.json["code"], refused.json["field"]) == (400, "invalid_request", field)


async def test_rendition_is_revalidated_without_reading_or_making_it(product: Harness) -> None:
    made = await product.generate()
    url = made.json["thumbnailUrl"]
    first = await product.call("GET", url)
    assert first.headers["Cache-Control"] == "private, max-age=86400"
    touched = product.blobs.rule(Rule(lambda _, path: "/renditions/" in path))
    known = await product.call("GET", url, headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status, known.body, known.headers["Content-Type"]) == (304, b"", "image/webp")
    headed = await product.call("HEAD", url)
    assert (headed.status, dict(headed.headers), headed.body) == (200, dict(first.headers), b"")
    assert not touched.hit.is_set()
    part_of_it = await product.call("GET", url, headers={"Range": "bytes=4-11", "If-Range": first.headers["ETag"]})
    assert (part_of_it.status, part_of_it.body) == (206, first.body[4:12])
    other = await product.call("GET", url.replace("w=320", "w=640"))
    whole = await product.call("GET", url.partition("?")[0])
    assert [(answer.status, answer.body[:200]) for answer in (first, other, whole) if answer.status != 200] == []
    assert len({answer.headers["ETag"] for answer in (first, other, whole)}) == 3
    of_generation = await product.call("GET", f"/api/images/{made.json['id']}?w=320")
    assert (of_generation.headers["Cache-Control"], of_generation.body) == ("no-store", first.body)


async def test_concurrent_first_requests_make_a_rendition_once(product: Harness) -> None:
    made = await product.generate()
    stored = product.blobs.rule(Rule(stores_rendition, times=100))
    answers = await asyncio.gather(*(product.call("GET", made.json["thumbnailUrl"]) for _ in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    again = await product.call("GET", made.json["thumbnailUrl"])
    assert again.body == answers[0].body
    assert stored.hits == 1


async def test_two_processes_serve_the_same_rendition(product: Harness) -> None:
    made = await product.generate()
    async with product.another() as second:
        url = made.json["thumbnailUrl"]
        answers = await asyncio.gather(product.call("GET", url), second.call("GET", url))
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].body == answers[1].body
    assert len(await product.blob_names("catafract-private", "renditions/")) >= 1


async def test_rendition_is_readable_by_its_owner_and_deleted_with_the_generation(product: Harness) -> None:
    made = await product.generate()
    url, stem = made.json["thumbnailUrl"], made.json["imageUrl"].rsplit("/", 1)[-1].rpartition(".")[0]
    await product.call("GET", url)
    await product.call("GET", url.replace("format=webp", "format=png"))
    async with product.another("eve@example.com") as eve:
        assert (await eve.call("GET", url)).status == 404
        assert (await eve.call("GET", f"/api/images/{made.json['id']}?w=320")).status == 404
    assert (await product.call("GET", url, signed_in=False)).status == 401
    assert len([name for name in await product.blob_names("catafract-private", "renditions/") if stem in name]) == 2
    assert (await product.call("DELETE", f"/api/generations/{made.json['id']}")).status == 204
    assert not [name for name in await product.blob_names("catafract-private", "renditions/") if stem in name]
    assert (await product.call("GET", url)).status == 404


async def test_deletion_while_a_rendition_is_made_leaves_no_rendition(product: Harness) -> None:
    made = await product.generate()
    stem = made.json["imageUrl"].rsplit("/", 1)[-1].rpartition(".")[0]

    async def delete() -> None:
        assert (await product.call("DELETE", f"/api/generations/{made.json['id']}")).status == 204

    product.blobs.rule(Rule(stores_rendition, before=delete))
    assert (await product.call("GET", made.json["thumbnailUrl"])).status == 404
    assert not [name for name in await product.blob_names("catafract-private", "renditions/") if stem in name]


async def test_private_images_and_uploads_have_renditions(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, IMAGE_ACCESS="private") as product:
        product.fake_gemini.shrink = 1
        made = await product.generate()
        assert image(await product.call("GET", made.json["thumbnailUrl"])).width == 320
        copy = (await product.call("GET", f"/api/generations/{made.json['id']}")).json["inputs"][0]["name"]
        assert image(await product.call("GET", f"/api/images/{copy}?w=64")).width == 64
        boundary = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        body = boundary + sample_image() + b"\r\n--b--\r\n"
        sent = await product.call("POST", "/api/upload", body, {"Content-Type": "multipart/form-data; boundary=b"})
        name = sent.json["url"].rsplit("/", 1)[-1]
        assert image(await product.call("GET", f"/api/images/{name}?w=64")).width == 64
        assert (await product.call("DELETE", f"/api/images/{name}")).status == 204
        left = await product.blob_names("catafract-private", "renditions/")
        assert not [path for path in left if name in path]


async def test_image_of_the_original_product_has_a_thumbnail_that_is_deleted_with_it(product: Harness) -> None:
    product.email = "ada.rendition@example.com"
    name = "generated-1704067230777.png"
    address = await put_blob(product, name, sample_image("cat.png"))
    await put_record(
        product, product.email, "gen-1704067230777-orig", "2024-01-01T00:00:30.777Z", outputImageUrl=address
    )
    detailed = await product.call("GET", "/api/generations/gen-1704067230777-orig")
    assert image(await product.call("GET", detailed.json["thumbnailUrl"])).width == 320
    assert (await product.call("DELETE", "/api/generations/gen-1704067230777-orig")).status == 204
    left = await product.blob_names("catafract-private", "renditions/")
    assert not [path for path in left if name in path]


async def test_rendition_of_an_undecodable_image_is_an_error_and_stores_nothing(product: Harness) -> None:
    product.email = "bob.rendition@example.com"
    address = await put_blob(product, "generated-1704067230778.png", b"<html>no image</html>")
    await put_record(
        product, product.email, "gen-1704067230778-orig", "2024-01-01T00:00:30.778Z", outputImageUrl=address
    )
    url = (await product.call("GET", "/api/generations/gen-1704067230778-orig")).json["thumbnailUrl"]
    assert (await product.call("GET", url)).status in {400, 415}
    stored = await product.blob_names("catafract-private", "renditions/")
    assert not [path for path in stored if "generated-1704067230778" in path]


async def test_rendition_of_an_earlier_version_of_its_image_is_made_again(product: Harness) -> None:
    product.email = "cy.rendition@example.com"
    name = "generated-1704067230779.png"
    for sample in ("cat.png", "coffee.jpg"):
        address = await put_blob(product, name, sample_image(sample))
        if sample == "cat.png":
            fields = {"outputImageUrl": address}
            await put_record(product, product.email, "gen-1704067230779-orig", "2024-01-01T00:00:30.779Z", **fields)
        got = image(await product.call("GET", f"/api/images/{name}?w=320"))
        whole = Image.open(io.BytesIO(sample_image(sample)))
        assert got.size == (320, round(whole.height * 320 / whole.width))


async def test_failed_generation_has_no_thumbnail(product: Harness) -> None:
    product.fake_gemini.script.add(finished("IMAGE_SAFETY"))
    failed = await product.generate()
    details = await product.call("GET", f"/api/generations/{failed.json['id']}")
    assert (details.json["status"], details.json["thumbnailUrl"]) == ("failed", None)


async def test_storage_outage_while_a_rendition_is_stored_is_503_and_not_cached(product: Harness) -> None:
    made = await product.generate()
    product.blobs.rule(Rule(stores_rendition, times=10, forward=False, answer=blob_error(503, "ServerBusy")))
    assert (await product.call("GET", made.json["thumbnailUrl"])).status == 503
    product.blobs.rules.clear()
    assert (await product.call("GET", made.json["thumbnailUrl"])).status == 200


@pytest.mark.parametrize(("wanted", "mime_type"), [("webp", "image/webp"), ("jpeg", "image/jpeg")])
async def test_image_is_converted_before_it_is_stored(product: Harness, wanted: str, mime_type: str) -> None:
    made = await product.generate(outputFormat=wanted, outputQuality=70)
    assert (made.json["mimeType"], made.json["warnings"]) == (mime_type, [])
    assert made.json["imageBase64"].startswith(f"data:{mime_type};base64,")
    data, stored_type = await product.blob("catafract", made.json["imageUrl"].rsplit("/", 1)[-1])
    assert (data, stored_type) == (made.image, mime_type)
    opened = Image.open(io.BytesIO(data))
    assert (opened.format, opened.size) == (wanted.upper(), (made.json["width"], made.json["height"]))
    record = await product.record(made.json["id"])
    assert record is not None
    assert (record["mimeType"], record["options"]) == (mime_type, {"outputFormat": wanted, "outputQuality": 70})
    assert "convert" in record["timings"]


async def test_image_in_the_requested_format_is_stored_unchanged(product: Harness) -> None:
    product.fake_gemini.script.add(finished("STOP", part(sample_image("cat.png"))))
    made = await product.generate(outputFormat="png", outputQuality=10)
    assert (made.image, made.json["warnings"]) == (sample_image("cat.png"), [])


async def test_dropped_content_credentials_give_a_warning(product: Harness) -> None:
    cat = sample_image("cat.png")
    signed = cat[:33] + png_chunk(b"caBX", b"\0\0\0\x10jumb\0\0\0\x08jumd") + cat[33:]
    product.fake_gemini.script.add(*(finished("STOP", part(signed)) for _ in range(2)))
    converted = await product.generate(outputFormat="jpeg")
    assert [warning.partition(":")[0] for warning in converted.json["warnings"]] == ["metadata_lost"]
    kept = await product.generate(outputFormat="png")
    assert (kept.image, kept.json["warnings"]) == (signed, [])


async def test_image_that_cannot_be_converted_is_stored_unchanged_with_a_warning(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_DECODED_PIXELS="1000", MAX_IMAGE_PIXELS="1000000") as product:
        product.fake_gemini.script.add(finished("STOP", part(sample_image("cat.png"))))
        made = await product.generate(outputFormat="webp")
        assert made.status == 200
        assert (made.json["mimeType"], made.image) == ("image/png", sample_image("cat.png"))
        assert [warning.partition(":")[0] for warning in made.json["warnings"]] == ["format_kept"]


async def test_idempotency_key_covers_the_output_format(product: Harness) -> None:
    key = {"Idempotency-Key": "format"}
    made = await product.generate(headers=key, outputFormat="webp")
    replayed = await product.generate(headers=key, outputFormat="webp")
    assert (replayed.status, replayed.image) == (200, made.image)
    other = await product.generate(headers=key, outputFormat="jpeg")
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")


@pytest.mark.parametrize("fields", [{"outputFormat": "gif"}, {"outputQuality": 0}])
async def test_dry_run_checks_the_output_fields(product: Harness, fields: dict[str, Any]) -> None:
    refused = await product.generate(dryRun=True, **fields)
    assert (refused.status, refused.json["field"]) == (400, next(iter(fields)))


async def test_reconcile_finds_and_deletes_a_rendition_whose_image_is_gone(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url) as product:
        made = await product.generate()
        await product.call("GET", made.json["thumbnailUrl"])
        stem = made.json["imageUrl"].rsplit("/", 1)[-1].rpartition(".")[0]
        reconciliation = product.app.components.reconciliation
        (path,) = [each for each in await product.blob_names("catafract-private", "renditions/") if stem in each]
        orphan = path.replace(stem, "generated-1704067230000-" + "0" * 32)
        blobs = product.app.components.blobs
        await blobs.put("catafract-private", orphan, b"x", "image/webp", overwrite=True)
        records = product.app.components.records
        records.now = lambda: datetime.now(UTC) + timedelta(hours=1)  # type: ignore[method-assign] # old enough
        found = [each for each in await reconciliation.findings() if each.kind is Kind.RENDITION_WITHOUT_IMAGE]
        assert orphan in [each.name for each in found]
        assert path not in [each.name for each in found]
        for each in found:
            assert each.fix is not None
            await each.fix()
        assert orphan not in await product.blob_names("catafract-private", "renditions/")
