"""Images by name, uploads, and private images, which only their owner can read."""

import pytest
from azure.storage.blob.aio import BlobServiceClient

from image_core.auth.user import User
from image_core.storage.images import REVALIDATE, UPLOAD_TAGS
from local.emulators import AzuritePorts
from tests.support.faulty_proxy import Rule, blob_error
from tests.support.harness import Harness, harness, sample_image
from tests.support.uploads import form


async def cache_control(product: Harness, url: str) -> str | None:
    """Return the Cache-Control with which Blob Storage itself serves an image."""
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        blob = client.get_blob_client("catafract", url.rsplit("/", 1)[-1])
        return (await blob.get_blob_properties()).content_settings.cache_control


async def test_blobs_have_a_cache_control_that_requires_revalidation(product: Harness) -> None:
    """A deleted image must not stay in a browser's cache or a proxy's."""
    made = await product.generate()
    assert await cache_control(product, made.json["imageUrl"]) == REVALIDATE == "no-cache"
    uploaded = await product.call("POST", "/api/upload", *form(sample_image()))
    assert await cache_control(product, uploaded.json["url"]) == REVALIDATE
    product.blobs.rule(
        Rule(lambda method, _: method == "PUT", answer=blob_error(403, "AuthorizationPermissionMismatch"))
    )
    without_tags = await product.call("POST", "/api/upload", *form(sample_image()))
    assert await cache_control(product, without_tags.json["url"]) == REVALIDATE


async def test_image_by_name_is_cacheable_and_supports_ranges(product: Harness) -> None:
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
    assert same.headers["Content-Type"] == "image/png"
    size = len(made.image)
    for wanted, status, data in (
        ("bytes=0-99", 206, made.image[:100]),
        ("bytes=100-", 206, made.image[100:]),
        ("bytes=-50", 206, made.image[-50:]),
        (f"bytes={size - 1}-{size + 5}", 206, made.image[-1:]),
        (f"bytes={size}-", 416, b""),
        ("bytes=5-2", 200, made.image),
        ("bytes=0-1,4-5", 200, made.image),
        ("lines=1-2", 200, made.image),
    ):
        part = await product.call("GET", path, headers={"Range": wanted})
        assert (part.status, part.body) == (status, data), wanted
    stale = await product.call("GET", path, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert stale.status == 200


async def test_head_of_an_image_has_the_headers_of_get_and_reads_no_blob(product: Harness) -> None:
    made = await product.generate()
    name = made.json["imageUrl"].rsplit("/", 1)[-1]
    got = await product.call("GET", f"/api/images/{name}")
    read = product.blobs.rule(Rule(lambda method, path: method == "GET" and name in path))
    headed = await product.call("HEAD", f"/api/images/{name}", headers={"Range": "bytes=0-9"})
    assert (headed.status, dict(headed.headers), headed.body) == (200, dict(got.headers), b"")
    assert not read.hit.is_set()
    known = await product.call("HEAD", f"/api/images/{name}", headers={"If-None-Match": got.headers["ETag"]})
    assert (known.status, known.headers["Content-Type"]) == (304, "image/png")


async def test_head_of_records_and_usage_has_the_headers_of_get(product: Harness) -> None:
    made = await product.generate()
    for path in ("/api/generations", f"/api/generations/{made.json['id']}", "/api/usage"):
        got = await product.call("GET", path)
        headed = await product.call("HEAD", path)
        assert (headed.status, dict(headed.headers), headed.body) == (200, dict(got.headers), b"")


async def test_url_of_an_upload_is_an_input(product: Harness) -> None:
    body, headers = form(sample_image(), "../My Photo é.PNG")
    answer = await product.call("POST", "/api/upload", body, headers)
    assert answer.status == 200, answer.body
    name = answer.json["url"].rsplit("/", 1)[-1]
    assert name.endswith("-My-Photo-e.jpg")
    assert await product.blob("catafract", name) == (sample_image(), "image/jpeg")
    assert (await product.generate(answer.json["url"])).status == 200
    assert (await product.call("GET", f"/api/images/{name}")).body == sample_image()
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
async def test_invalid_upload_is_refused(
    product: Harness, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await product.call("POST", "/api/upload", body, headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    if code == "no_file":
        assert answer.json["error"] in {"No file provided", "The form cannot be read"}


async def test_missing_file_has_the_fixed_message(product: Harness) -> None:
    body, headers = form(sample_image(), field="other")
    assert (await product.call("POST", "/api/upload", body, headers)).json["error"] == "No file provided"


async def test_private_image_is_in_its_owners_folder_and_read_by_its_owner_only(
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
    return User(product.email).folder


async def test_only_an_upload_is_deleted_by_name_and_only_by_its_owner(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    for access in ("public", "private"):
        async with harness(azurite_ports, cosmos_url, IMAGE_ACCESS=access) as product:
            body, headers = form(sample_image(), "100%.jpg")
            url = (await product.call("POST", "/api/upload", body, headers)).json["url"]
            name = url.rsplit("/", 1)[-1]
            made = await product.generate(url)
            image = made.json["imageUrl"].rsplit("/", 1)[-1]
            async with product.another("eve@example.com") as eve:
                assert (await eve.call("DELETE", f"/api/images/{name}")).status == 404
            assert (await product.call("GET", f"/api/images/{name}")).status == 200
            foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
            assert (await product.call("DELETE", f"/api/images/{name}", headers=foreign)).status == 403
            assert (await product.call("DELETE", f"/api/images/{name}")).status == 204
            assert (await product.call("DELETE", f"/api/images/{name}")).status == 404
            assert [blob for blob in await product.blob_names("catafract") if blob.endswith(name)] == []
            detail = (await product.call("GET", f"/api/generations/{made.json['id']}")).json
            for other in (image, made.json["id"], detail["inputs"][0]["name"]):
                refused = await product.call("DELETE", f"/api/images/{other}")
                assert (refused.status, refused.json["code"]) == (404, "not_found")
                assert (await product.call("GET", f"/api/images/{other}")).status == 200
            assert (await product.generate(url)).json["details"] == "there is no such image"


async def test_upload_has_the_tag_of_the_lifecycle_rule_and_a_generated_image_has_not(product: Harness) -> None:
    body, headers = form(sample_image())
    uploaded = (await product.call("POST", "/api/upload", body, headers)).json["url"].rsplit("/", 1)[-1]
    made = (await product.generate()).json["imageUrl"].rsplit("/", 1)[-1]
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        assert await client.get_blob_client("catafract", uploaded).get_blob_tags() == UPLOAD_TAGS
        assert await client.get_blob_client("catafract", made).get_blob_tags() == {}


def stores_upload(method: str, path: str) -> bool:
    return method == "PUT" and "/catafract/1" in path


async def test_upload_is_stored_without_tags_if_the_role_does_not_allow_them(product: Harness) -> None:
    denied = blob_error(403, "AuthorizationPermissionMismatch")
    refused = product.blobs.rule(Rule(stores_upload, answer=denied))
    body, headers = form(sample_image())
    answer = await product.call("POST", "/api/upload", body, headers)
    assert answer.status == 200
    assert refused.hits == 1
    assert (await product.call("GET", f"/api/images/{answer.json['url'].rsplit('/', 1)[-1]}")).body == sample_image()
