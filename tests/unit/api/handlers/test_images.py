"""`/api/images/{name}`: every response of its handlers, compared with the document."""

import json

import pytest

from image_core.api.handlers.images import A_DAY, FOREVER, DeleteUpload, GetImage
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.clock import Clock
from image_core.errors import Busy, ImageError, InvalidRequest, NoImage, NotFound
from image_core.generations.failure import Failure
from image_core.generations.record import Status
from image_core.images.image import Target
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.contract import violations
from tests.support.fakes.application import ADA
from tests.support.fakes.handler_ports import NOW, FakeGenerations, FakeImages, succeeded
from tests.support.records import make

BUDGET = ResponseBudget(None, Clock(monotonic=lambda: 10.0))
NAME = "generated-1-1.png"
DATA = b"0123456789"
UPLOAD = "1767225600000-4f1c2a9be07d33584f1c2a9be07d3358-photo.jpg"


class Product:
    """The handler over fakes, with one stored image."""

    def __init__(self, kind: str = "image/png", name: str = NAME) -> None:
        self.images = FakeImages({name: (kind, DATA)})
        self.generations = FakeGenerations()
        self.memory = MemoryBudget(1000)
        self.handler = GetImage(self.images, self.images, self.generations, self.generations, self.memory, BUDGET)

    async def get(self, name: str = NAME, method: str = "GET", query: str = "", **headers: str) -> Response:
        sent = {header.replace("_", "-"): value for header, value in headers.items()}
        parameters = dict(pair.split("=") for pair in query.split("&") if pair)
        request = Request(method, f"images/{name}", parameters, sent, started=10.0)
        response = await self.handler.handle(request, ADA, name)
        if method == "GET":
            assert violations("GET", request.path, response.status, response.headers, response.body) == []
        assert self.memory.working == 0
        return response


async def test_stored_image_is_cached_forever_and_never_run_as_a_page() -> None:
    response = await Product().get()
    assert (response.status, response.body) == (200, DATA)
    assert response.headers == {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Accept-Ranges": "bytes",
        "Cache-Control": FOREVER,
        "ETag": '"etag"',
        "Content-Type": "image/png",
    }


@pytest.mark.parametrize(
    ("headers", "status", "body", "positions"),
    [
        ({"range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"range": "bytes=10-"}, 416, b"", "bytes */10"),
        ({"range": "bytes=2-4", "if_range": '"etag"'}, 206, b"234", "bytes 2-4/10"),
        ({"range": "bytes=2-4", "if_range": '"older"'}, 200, DATA, None),
        ({"if_none_match": '"etag"'}, 304, b"", None),
        ({"if_none_match": '"etag"', "range": "bytes=2-4"}, 304, b"", None),
        ({"if_none_match": '"older"'}, 200, DATA, None),
    ],
)
async def test_ranges_and_conditions(headers: dict[str, str], status: int, body: bytes, positions: str | None) -> None:
    response = await Product().get(**headers)
    assert (response.status, response.body, response.headers.get("Content-Range")) == (status, body, positions)
    assert response.headers["Content-Type"] == "image/png"


async def test_head_does_not_read_the_image() -> None:
    response = await Product().get(method="HEAD", range="bytes=2-4")
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    ("name", "kind", "shown"),
    [("a.png", "image/webp", "image/webp"), ("a.JPEG", "", "image/jpeg"), ("a.jpg", "application/x", "image/jpeg")],
)
async def test_type_is_that_of_the_blob_or_of_its_name(name: str, kind: str, shown: str) -> None:
    response = await Product(kind, name).get(name)
    assert response.headers["Content-Type"] == shown


@pytest.mark.parametrize(
    ("query", "target", "etag", "kind"),
    [
        ("w=300", Target(320, "webp", 80), f'"{NAME}.320.webp"', "image/webp"),
        ("w=1&format=jpeg", Target(64, "jpeg", 80), f'"{NAME}.64.jpeg"', "image/jpeg"),
        ("format=png", Target(None, "png", 80), f'"{NAME}.full.png"', "image/png"),
        ("w=2048", Target(2048, "webp", 80), f'"{NAME}.2048.webp"', "image/webp"),
    ],
)
async def test_rendition_has_a_width_rounded_up_and_a_separate_etag(
    query: str, target: Target, etag: str, kind: str
) -> None:
    product = Product()
    response = await product.get(query=query)
    assert (response.status, response.body, response.headers["Content-Type"]) == (200, b"rendition", kind)
    assert response.headers["Cache-Control"] == A_DAY
    assert response.headers["ETag"].endswith(etag.removeprefix(f'"{NAME}'))
    assert product.images.targets == [target]
    assert (await product.get(query=query, if_none_match=response.headers["ETag"])).status == 304
    assert product.images.targets == [target], "the rendition is not opened if the caller has it"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *[(f"w={width}", "w") for width in ("0", "2049", "-1", "x", "", "12345", "1.5")],
        *[(f"format={name}", "format") for name in ("gif", "", "PNG")],
        *[(f"redirects={count}", "redirects") for count in ("16", "-1", "x", "1000")],
    ],
)
async def test_invalid_parameter_is_refused(query: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await Product().get(query=query)
    assert caught.value.field == field


async def test_image_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound):
        await Product().get("other.png")
    with pytest.raises(NotFound):
        await Product().get("gen-1")


async def test_id_of_a_generation_answers_with_its_image_which_is_not_cached() -> None:
    product = Product()
    product.generations.add(succeeded(make(ADA)))
    response = await product.get("gen-1")
    assert (response.status, response.body, response.headers["Cache-Control"]) == (200, DATA, "no-store")
    assert product.generations.waits == []
    assert (await product.get("gen-1", query="w=64")).body == b"rendition"


async def test_running_generation_is_waited_for() -> None:
    product = Product()
    product.generations.add(make(ADA), succeeded(make(ADA)))
    response = await product.get("gen-1")
    assert (response.status, response.body) == (200, DATA)
    assert product.generations.waits == [90.0], "5 of the 95 seconds are left for reading the image"


async def test_generation_that_still_runs_redirects_to_itself_a_number_of_times() -> None:
    product = Product()
    product.generations.add(make(ADA))
    response = await product.get("gen-1", query="w=64&redirects=3")
    assert (response.status, response.headers["Cache-Control"]) == (307, "no-store")
    assert response.headers["Location"] == "/api/images/gen-1?w=64&redirects=4"
    with pytest.raises(Busy) as caught:
        await product.get("gen-1", query="redirects=15")
    assert caught.value.retry_after == 5


async def test_image_that_cannot_be_read_in_time_redirects_too() -> None:
    product = Product()
    product.generations.add(succeeded(make(ADA)))
    product.images.fails = [TimeoutError()]
    assert (await product.get("gen-1", query="w=64")).status == 307


async def test_other_error_of_a_read_is_raised() -> None:
    product = Product()
    product.generations.add(succeeded(make(ADA)))
    product.images.fails = [NotFound()]
    with pytest.raises(ImageError):
        await product.get("gen-1", query="w=64")


async def test_failed_generation_answers_with_its_error() -> None:
    product = Product()
    failure = Failure.of(NoImage(text=None, finish_reason="STOP"))
    product.generations.add(make(ADA, status=Status.FAILED, failure=failure, completed_at=NOW))
    response = await product.get("gen-1")
    assert (response.status, json.loads(response.body)["id"]) == (500, "gen-1")


async def test_upload_is_deleted_by_its_name() -> None:
    images = FakeImages({UPLOAD: ("image/jpeg", DATA)})
    request = Request("DELETE", f"images/{UPLOAD}")
    response = await DeleteUpload(images).handle(request, ADA, UPLOAD)
    assert (response.status, response.body) == (204, b"")
    assert images.images == {}
    with pytest.raises(NotFound):
        await DeleteUpload(images).handle(request, ADA, UPLOAD)


async def test_image_of_a_generation_is_not_deleted_by_its_name() -> None:
    images = FakeImages({NAME: ("image/png", DATA)})
    with pytest.raises(NotFound):
        await DeleteUpload(images).handle(Request("DELETE", f"images/{NAME}"), ADA, NAME)
    assert NAME in images.images
