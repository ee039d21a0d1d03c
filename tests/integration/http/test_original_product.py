"""The original product's data: any upload names, records under an address with capitals, images without metadata."""

import asyncio
from dataclasses import replace
from urllib.parse import quote

import pytest

from local.emulators import AzuritePorts
from tests.support.harness import Harness, harness, sample_image
from tests.support.original_product import put_blob, put_record

NAMES = [
    "100%.jpg",
    "a#b?c&d.jpg",
    "wait...what.png",
    "50%25 off.png",
    "a%2Fb.jpg",
    "it's; (1) + é=写真.webp",
    "..",
    "x",
]


@pytest.mark.parametrize("name", NAMES)
async def test_old_upload_is_an_input_whatever_its_name(product: Harness, name: str) -> None:
    url = await put_blob(product, f"1704067200000-{name}", sample_image())
    made = await product.generate(url)
    assert made.status == 200, made.body
    by_name = await product.generate(f"/api/images/1704067200000-{quote(name, safe='')}")
    assert by_name.status == 200, by_name.body
    assert product.fake_gemini.calls[-1].inputs == 1


@pytest.mark.parametrize(
    ("path", "code", "details"),
    [
        ("1704067200000-nothing.jpg", "invalid_image", "there is no such image"),
        ("nothing.jpg", "invalid_image", "there is no such image"),
        ("1704067200000-a%2Fb.jpg", "url_not_allowed", "it is not one of your images"),
        ("1704067200000-a%5Cb.jpg", "url_not_allowed", "it is not one of your images"),
        ("..%2Fcatafract-private%2Ffinished", "url_not_allowed", "it is not one of your images"),
        ("%2e%2e", "url_not_allowed", "it is not one of your images"),
    ],
)
async def test_unknown_image_or_path_is_refused_with_its_reason(
    product: Harness, path: str, code: str, details: str
) -> None:
    for url in (f"{product.blob_base}/catafract/{path}", f"/api/images/{path}"):
        answer = await product.generate(url)
        assert (answer.status, answer.json["code"], answer.json["details"]) == (400, code, details)
    assert product.fake_gemini.calls == []


async def test_records_of_an_email_with_capitals_belong_to_the_same_email_only(product: Harness) -> None:
    written = f"Ada.{product.email.partition('@')[0]}@Example.com"
    ada = replace(product, email=written)
    image = sample_image("cat.png")
    url = await put_blob(product, "generated-1704067230000.png", image)
    base64_jpeg = "/9j/" + "A" * 1000
    await put_record(
        product,
        written,
        "gen-1704067230000-abc",
        "2024-01-01T00:00:30.000Z",
        inputImages=[base64_jpeg, f"data:image/jpeg;base64,{base64_jpeg}", "https://example.com/a.png"],
        outputImageUrl=url,
    )
    made = (await ada.generate()).json
    listed = (await ada.call("GET", "/api/generations")).json
    assert [item["id"] for item in listed["items"]] == [made["id"], "gen-1704067230000-abc"]
    assert listed["items"][1]["inputImages"] == ["https://example.com/a.png"]
    detail = await ada.call("GET", "/api/generations/gen-1704067230000-abc")
    assert detail.json["inputImages"] == ["https://example.com/a.png"]
    assert b"/9j/" not in detail.body
    for name in ("generated-1704067230000.png", "gen-1704067230000-abc"):
        assert (await ada.call("GET", f"/api/images/{name}")).body == image
    async with product.another(written.lower()) as lower, product.another(written.upper()) as upper:
        # The original product compared addresses exactly: neither of these is the user's.
        for other in (lower, upper):
            assert (await other.call("GET", "/api/generations/gen-1704067230000-abc")).status == 404
            assert (await other.call("GET", "/api/images/generated-1704067230000.png")).status == 404
            assert [item["id"] for item in (await other.call("GET", "/api/generations")).json["items"]] == [made["id"]]
    assert (await ada.call("DELETE", "/api/generations/gen-1704067230000-abc")).status == 204
    assert "generated-1704067230000.png" not in await product.blob_names("catafract", "generated-1704067230000")
    assert (await ada.call("GET", "/api/generations/gen-1704067230000-abc")).status == 404


async def test_deleting_an_old_record_removes_its_image_whatever_host_its_url_names(product: Harness) -> None:
    name = "generated-1704067232000-k3j2h1.png"
    await put_blob(product, name, sample_image())
    url = f"https://account.blob.core.windows.net/catafract/{name}?sv=1&sig=x"
    await put_record(product, product.email, "gen-old-host", "2024-01-01T00:00:32.000Z", outputImageUrl=url)
    assert (await product.call("GET", "/api/images/gen-old-host")).body == sample_image()
    assert (await product.call("GET", f"/api/images/{name}")).body == sample_image()
    assert (await product.call("DELETE", "/api/generations/gen-old-host")).status == 204
    assert await product.blob_names("catafract", name) == []


async def test_deleting_an_old_record_leaves_another_users_image(product: Harness) -> None:
    async with product.another("bob@example.com") as bob:
        url = (await bob.generate()).json["imageUrl"]
    await put_record(product, product.email, "gen-not-mine", "2024-01-01T00:00:32.000Z", outputImageUrl=url)
    assert (await product.call("GET", "/api/images/gen-not-mine")).status == 404
    assert (await product.call("DELETE", "/api/generations/gen-not-mine")).status == 204
    assert len(await product.blob_names("catafract", url.rsplit("/", 1)[-1])) == 1


async def test_deleting_an_old_record_leaves_blobs_that_are_not_its_image(product: Harness) -> None:
    await put_blob(product, "1704067200000-b.png", sample_image())
    await put_record(
        product,
        product.email,
        "gen-old",
        "2024-01-01T00:00:30.000Z",
        outputImageUrl="https://example.com/1704067200000-b.png",
    )
    assert (await product.call("DELETE", "/api/generations/gen-old")).status == 204
    assert await product.blob_names("catafract", "1704067200000-b.png") == ["1704067200000-b.png"]


async def test_images_stay_readable_by_their_owner_after_the_access_setting_was_changed(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    async with harness(azurite_ports, cosmos_url) as public:
        old_url = await put_blob(public, "generated-1704067231000.png", sample_image("cat.png"))
        await put_record(public, public.email, "gen-legacy", "2024-01-01T00:00:31.000Z", outputImageUrl=old_url)
        in_public = await public.generate(prompt="in public")
        async with public.another(IMAGE_ACCESS="private") as private:
            in_private = await private.generate(prompt="in private")
            name = in_public.json["imageUrl"].rsplit("/", 1)[-1]
            for path in (name, in_public.json["id"]):
                assert (await private.call("GET", f"/api/images/{path}")).body == in_public.image
            assert (await private.call("GET", "/api/images/generated-1704067231000.png")).body == sample_image(
                "cat.png"
            )
            for url in (
                in_public.json["imageUrl"],
                f"/api/images/{name}",
                old_url,
                f"/api/images/{in_public.json['id']}",
            ):
                assert (await private.generate(url)).status == 200, url
            async with private.another("eve@example.com") as eve:
                assert (await eve.call("GET", f"/api/images/{name}")).status == 404
                assert (await eve.call("GET", "/api/images/generated-1704067231000.png")).status == 404
                for url in (in_public.json["imageUrl"], old_url, f"/api/images/{in_public.json['id']}"):
                    answer = await eve.generate(url)
                    assert (answer.status, answer.json["details"]) == (400, "there is no such image"), url
            # The URLs in a list are those with which the images can be read now.
            listed = (await private.call("GET", "/api/generations?limit=100")).json["items"]
            assert all(item["imageUrl"].startswith("/api/images/") for item in listed)
            assert (await private.call("DELETE", f"/api/generations/{in_public.json['id']}")).status == 204
            assert await public.blob_names("catafract", name) == []
        private_name = in_private.json["imageUrl"].rsplit("/", 1)[-1]
        assert (await public.call("GET", in_private.json["imageUrl"])).body == in_private.image
        assert (await public.generate(in_private.json["imageUrl"])).status == 200
        assert (await public.call("DELETE", f"/api/generations/{in_private.json['id']}")).status == 204
        assert [blob for blob in await public.blob_names("catafract") if blob.endswith(private_name)] == []


async def test_image_url_of_a_202_is_an_input(product: Harness) -> None:
    """A front end that keeps the `imageUrl` of a 202 sends it as the next request's image."""
    product.fake_gemini.latency = 0.5
    running = await product.generate(headers={"Prefer": "wait=0"})
    early = await product.generate(running.json["imageUrl"])
    assert (early.status, early.json["details"]) == (400, "its generation has no image yet")
    resuming = asyncio.create_task(product.app.resume(running.enqueue[0].encode()))
    await resuming
    assert (await product.generate(running.json["imageUrl"])).status == 200
    absolute = f"http://localhost:4280{running.json['imageUrl']}"
    edited = await product.generate(absolute)
    assert edited.status == 200
    detail = await product.call("GET", f"/api/generations/{edited.json['id']}")
    assert detail.json["inputImages"] == [absolute]
    async with product.another("eve@example.com") as eve:
        answer = await eve.generate(running.json["imageUrl"])
        assert (answer.status, answer.json["details"]) == (400, "there is no such image")
