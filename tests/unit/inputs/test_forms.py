"""Every form of an input, and which owned images a URL may name."""

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Busy, ImageError, ImageTooLarge, InvalidImage, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.inputs.loader import Loader, shown
from image_core.inputs.owned_urls import OwnedUrls, OwnResult, own_image
from image_core.inputs.sources import Address, Inline, parse
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.harness import sample_image
from tests.support.owned_images import ACCOUNT, OWN, PRIVATE, FakeOwnImages

ADA, BOB = User("ada@example.com"), User("bob@example.com")
DATA = sample_image("unusual/palette.png")
PLAIN = base64.b64encode(DATA).decode()
SAFE = base64.urlsafe_b64encode(DATA).decode()

INLINE: list[tuple[str, str]] = [
    ("a data URL", f"data:image/png;base64,{PLAIN}"),
    ("bare base64", PLAIN),
    ("in upper case", f"DATA:IMAGE/PNG;BASE64,{PLAIN}"),
    ("with the wrong type", f"data:text/html;base64,{PLAIN}"),
    ("without a type", f"data:;base64,{PLAIN}"),
    ("with parameters", f"data:image/png;charset=utf-8;name=a.png;base64,{PLAIN}"),
    ("with spaces around parameters", f"data:image/png; base64,{PLAIN}"),
    ("base64url", f"data:image/png;base64,{SAFE}"),
    ("without padding", f"data:image/png;base64,{PLAIN.rstrip('=')}"),
    (
        "with line breaks",
        "data:image/png;base64," + "\r\n".join(PLAIN[at : at + 76] for at in range(0, len(PLAIN), 76)),
    ),
    ("base64 that is percent-encoded", f"data:image/png;base64,{quote(PLAIN, safe='')}"),
    ("percent-encoded bytes", f"data:image/png,{quote(DATA)}"),
    ("with spaces around it", f"  {PLAIN}\n"),
]


async def load(loader: Loader, *images: str, user: User = ADA) -> list[bytes]:
    return [loaded.image.data for loaded in await loader.load_all(images, user, MemoryBudget(10**9).claim(user.id))]


@pytest.mark.parametrize("text", [row[1] for row in INLINE], ids=[row[0] for row in INLINE])
async def test_inline_bytes_are_read_in_every_form(make: Callable[..., Loader], text: str) -> None:
    assert await load(make(), text) == [DATA]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "data:",
        "data:image/png",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:,",
        "@@@@",
        "aGk=aGk=",
        "a",
        "é" * 40,
        "data:image/png;base64,\ud800",
    ],
    ids=repr,
)
async def test_error_of_an_invalid_input_has_its_index(make: Callable[..., Loader], text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        await load(make(), PLAIN, text)
    assert caught.value.index == 1


MISTAKEN = [
    ("//example.com/x.png", "without a scheme"),
    ("//host/x", "without a scheme"),
    ("/images/x", "a path"),
    ("/images/photo.jpg", "a path"),
    ("./photo.jpg", "a path"),
    ("../x", "a path"),
    ("/api/image", "a path"),
    ("/0/x.png", "a path"),
    ("[object File]", "JavaScript value"),
    (" [object Blob] ", "JavaScript value"),
    ("data:image/png;base64,[object Object]", "JavaScript value"),
    ("data:image/png;base64,undefined", "JavaScript value"),
    ("undefined", "JavaScript value"),
    ("null", "JavaScript value"),
    (f"data:image/png;base64,data:image/png;base64,{PLAIN}", "prefix twice"),
    (f"data:image/png;base64, DATA:image/png;base64,{PLAIN}", "prefix twice"),
    (f"data:,data:image/png;base64,{PLAIN}", "prefix twice"),
    ("data:image/png;base64,https://example.com/x.png", "holds an address"),
    ("photo.jpg", "not valid base64"),
    ("@@@@", "not valid base64"),
]


@pytest.mark.parametrize(("text", "explanation"), MISTAKEN, ids=[row[0][:40] for row in MISTAKEN])
async def test_error_explains_a_likely_mistake(make: Callable[..., Loader], text: str, explanation: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        await load(make(), text)
    assert explanation in str(caught.value.details)


def test_base64_that_begins_with_a_slash_is_base64() -> None:
    for data in (
        sample_image("coffee.jpg"),
        b"\xff\xd8\xff\xe0" + bytes(100),
        b"\xff\x0a" + bytes(300),
        b"\xff\x4f\xff\x51" + bytes(300),
    ):
        text = base64.b64encode(data).decode()
        assert text.startswith("/")
        source = parse(text)
        assert isinstance(source, Inline)
        assert source.decode() == data


@given(st.binary(max_size=200), st.sampled_from(["image/png", "IMAGE/JPEG", "", "x/y;a=b", "text/plain;charset=utf-8"]))
def test_bytes_in_a_data_url_are_unchanged(data: bytes, media_type: str) -> None:
    for payload in (base64.b64encode(data), base64.urlsafe_b64encode(data), base64.b64encode(data).rstrip(b"=")):
        source = parse(f"data:{media_type};base64,{payload.decode()}")
        assert isinstance(source, Inline)
        if data:
            assert source.decode() == data
    source = parse(f"data:{media_type},{quote(data)}")
    assert isinstance(source, Inline)
    assert source.decode() == data


@given(st.text(max_size=300))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        source = parse(text)
        if isinstance(source, Inline):
            source.decode()
    except Fault:
        return
    assert isinstance(source, Inline | Address)


STEM = f"generated-1704067230000-{'a' * 32}"
SHA = "b" * 64
READ: list[tuple[str, OwnedUrls, str, tuple[str, str]]] = [
    ("an owned image", OWN, f"{ACCOUNT}/catafract/{STEM}.png", ("catafract", f"{STEM}.png")),
    ("with a port", OWN, f"https://acct.blob.core.windows.net:443/catafract/{STEM}.png", ("catafract", f"{STEM}.png")),
    (
        "in another letter case",
        OWN,
        f"HTTPS://ACCT.blob.core.windows.net/catafract/{STEM}.png",
        ("catafract", f"{STEM}.png"),
    ),
    (
        "with a signature, which is not used",
        OWN,
        f"{ACCOUNT}/catafract/{STEM}.png?sv=1&sig=x",
        ("catafract", f"{STEM}.png"),
    ),
    (
        "of the original product",
        OWN,
        f"{ACCOUNT}/catafract/generated-1704067230000.png",
        ("catafract", "generated-1704067230000.png"),
    ),
    (
        "an upload of the original product",
        OWN,
        f"{ACCOUNT}/catafract/1704067230000-My%20photo%20%C3%A9.jpg",
        ("catafract", "1704067230000-My photo é.jpg"),
    ),
    *(
        (
            f"an upload of the original product: {name}",
            OWN,
            f"{ACCOUNT}/catafract/1704067230000-{quote(name, safe='')}",
            ("catafract", f"1704067230000-{name}"),
        )
        for name in (
            "100%.jpg",
            "a#b?c&d.jpg",
            "wait...what.png",
            "..png",
            "a%2Fb.png",
            "50%25 off;=+@.png",
            "写真.webp",
            ".",
        )
    ),
    ("an upload by name", OWN, "/api/images/1704067230000-100%25.jpg", ("catafract", "1704067230000-100%.jpg")),
    (
        "a percent sign that is not encoded",
        OWN,
        f"{ACCOUNT}/catafract/1704067230000-100%.jpg",
        ("catafract", "1704067230000-100%.jpg"),
    ),
    (
        "in the user's folder, from before IMAGE_ACCESS changed",
        OWN,
        f"{ACCOUNT}/catafract/{ADA.folder}/{STEM}.png",
        ("catafract", f"{STEM}.png"),
    ),
    (
        "without a folder, from before IMAGE_ACCESS changed",
        PRIVATE,
        f"{ACCOUNT}/catafract/{STEM}.png",
        ("catafract", f"{ADA.folder}/{STEM}.png"),
    ),
    ("by name", OWN, f"/api/images/{STEM}.png", ("catafract", f"{STEM}.png")),
    ("by name at the front end", OWN, f"https://app.example.com/api/images/{STEM}.png", ("catafract", f"{STEM}.png")),
    ("an input copy", OWN, f"/api/images/input-{SHA}.png", ("catafract-private", f"inputs/{ADA.folder}/{SHA}.png")),
    (
        "in the user's folder",
        PRIVATE,
        f"{ACCOUNT}/catafract/{ADA.folder}/{STEM}.png",
        ("catafract", f"{ADA.folder}/{STEM}.png"),
    ),
    ("by name in the user's folder", PRIVATE, f"/api/images/{STEM}.png", ("catafract", f"{ADA.folder}/{STEM}.png")),
]


@pytest.mark.parametrize(("own", "url", "location"), [row[1:] for row in READ], ids=[row[0] for row in READ])
async def test_owned_images_are_read_with_the_storage_credentials(
    make: Callable[..., Loader], own_images: FakeOwnImages, own: OwnedUrls, url: str, location: tuple[str, str]
) -> None:
    own_images.blobs[location] = DATA
    assert await load(make(own), url) == [DATA]
    assert own_images.asked[-1] == location


FORBIDDEN: list[tuple[str, OwnedUrls, str]] = [
    ("another container", OWN, f"{ACCOUNT}/other/{STEM}.png"),
    ("the private container", OWN, f"{ACCOUNT}/catafract-private/inputs/{ADA.folder}/{SHA}.png"),
    ("the outbox", OWN, f"{ACCOUNT}/catafract-private/finished/gen-1.json"),
    ("a path that leaves the container", OWN, f"{ACCOUNT}/catafract/../catafract-private/inputs/x.png"),
    ("an encoded slash", OWN, f"{ACCOUNT}/catafract/..%2fcatafract-private%2f{STEM}.png"),
    ("an encoded slash in a name", OWN, f"{ACCOUNT}/catafract/1704067230000-a%2Fb.png"),
    ("an encoded backslash", OWN, f"{ACCOUNT}/catafract/1704067230000-a%5Cb.png"),
    ("a backslash", OWN, f"{ACCOUNT}/catafract/1704067230000-a\\b.png"),
    ("a snapshot", OWN, f"{ACCOUNT}/catafract/{STEM}.png?snapshot=2026-01-01T00:00:00.0000000Z"),
    ("a version", OWN, f"{ACCOUNT}/catafract/{STEM}.png?sv=1&versionid=x"),
    ("a listing", OWN, f"{ACCOUNT}/catafract?restype=container&comp=list"),
    ("a user name", OWN, f"https://a@acct.blob.core.windows.net/catafract/{STEM}.png"),
    ("another user's folder in a container without folders", OWN, f"{ACCOUNT}/catafract/{BOB.folder}/{STEM}.png"),
    ("another user's folder", PRIVATE, f"{ACCOUNT}/catafract/{BOB.folder}/{STEM}.png"),
    ("another user's folder, encoded", PRIVATE, f"{ACCOUNT}/catafract/{ADA.folder}/..%2F{BOB.folder}%2F{STEM}.png"),
    ("a path by name", OWN, "/api/images/inputs/x.png"),
    ("dots by name", OWN, "/api/images/.."),
    ("an encoded path by name", OWN, f"/api/images/inputs%2F{BOB.folder}%2F{SHA}.png"),
    ("a folder by name", PRIVATE, f"/api/images/{BOB.folder}%2F{STEM}.png"),
]

NO_IMAGE: list[tuple[str, OwnedUrls, str]] = [
    ("a name that is not an image's", OWN, f"{ACCOUNT}/catafract/passwords.txt"),
    ("the user's folder and not an image's name", OWN, f"{ACCOUNT}/catafract/{ADA.folder}/passwords.txt"),
    ("a zero byte", OWN, f"{ACCOUNT}/catafract/1704067230000-a%00.png"),
    ("bytes that are not UTF-8", OWN, f"{ACCOUNT}/catafract/1704067230000-%ff.png"),
    ("an input copy in the public container", OWN, f"{ACCOUNT}/catafract/input-{SHA}.png"),
    ("no name", OWN, "/api/images/"),
    ("no name in the container", OWN, f"{ACCOUNT}/catafract/"),
    ("a name of 4 KB", OWN, f"/api/images/1704067230000-{'x' * 4096}.png"),
    ("an invalid name of an input copy", OWN, f"/api/images/input-{'g' * 64}.png"),
]


@pytest.mark.parametrize(("own", "url"), [row[1:] for row in NO_IMAGE], ids=[row[0] for row in NO_IMAGE])
async def test_owned_url_that_names_no_image_is_refused_without_reading_storage(
    make: Callable[..., Loader], own_images: FakeOwnImages, own: OwnedUrls, url: str
) -> None:
    with pytest.raises(InvalidImage) as caught:
        await load(make(own), url)
    assert caught.value.details == "there is no such image"
    assert own_images.asked == []


@pytest.mark.parametrize(("own", "url"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN])
async def test_forbidden_owned_url_is_refused_without_reading_storage(
    make: Callable[..., Loader], own_images: FakeOwnImages, own: OwnedUrls, url: str
) -> None:
    with pytest.raises(UrlNotAllowed):
        await load(make(own), url)
    assert own_images.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://other.blob.core.windows.net/catafract/x.png?sig=1",
        f"http://acct.blob.core.windows.net/catafract/{STEM}.png",
        f"https://acct.blob.core.windows.net:444/catafract/{STEM}.png",
        f"https://acct.blob.core.windows.net.evil.example/catafract/{STEM}.png",
        f"https://evil.example/api/images/{STEM}.png",
    ],
)
def test_url_that_only_resembles_an_owned_url_is_not_owned(url: str) -> None:
    assert own_image(url, ADA, OWN) is None


def test_input_copy_is_looked_up_in_the_users_folder() -> None:
    (place,) = OWN.find(BOB, f"input-{SHA}.png")
    assert (place.container, place.path) == ("catafract-private", f"inputs/{BOB.folder}/{SHA}.png")


@pytest.mark.parametrize(
    "url", ["/api/images/gen-1704067230000-0123456789abcdef", "https://app.example.com/api/images/gen-key-ab"]
)
def test_url_with_an_id_names_a_generation(url: str) -> None:
    assert own_image(url, ADA, OWN) == OwnResult(url.rsplit("/", 1)[-1])


async def test_error_for_a_deleted_image_says_that_it_does_not_exist(make: Callable[..., Loader]) -> None:
    with pytest.raises(InvalidImage) as caught:
        await load(make(), f"/api/images/{STEM}.png")
    assert "there is no such image" in str(caught.value.details)


async def test_url_of_more_than_eight_kilobytes_is_refused(make: Callable[..., Loader]) -> None:
    with pytest.raises(UrlNotAllowed):
        await load(make(), f"https://example.com/{'x' * 8192}")


def test_recorded_url_has_no_secret() -> None:
    assert shown("https://u:p@example.com:8443/a/b.png?sig=secret#part") == "https://example.com:8443/a/b.png"


async def test_input_over_the_byte_limit_is_413_with_the_limit(make: Callable[..., Loader]) -> None:
    with pytest.raises(ImageTooLarge) as caught:
        await load(make(MAX_IMAGE_BYTES="5000"), PLAIN)
    assert "5,000" in str(caught.value.details)


async def test_input_over_the_memory_budget_is_busy_and_holds_nothing(
    make: Callable[..., Loader], own_images: FakeOwnImages
) -> None:
    own_images.blobs["catafract", f"{STEM}.png"] = DATA
    memory_budget, soon = MemoryBudget(6 * len(DATA)), Clock().deadline(0.01)
    with memory_budget.claim(ADA.id) as claim:
        await make().load_all([f"/api/images/{STEM}.png"], ADA, claim)
        assert memory_budget.held == len(DATA)
        with pytest.raises(Busy), memory_budget.claim(ADA.id, soon) as second:
            await make().load_all([f"/api/images/{STEM}.png"], ADA, second)
        assert memory_budget.held == len(DATA)
    assert memory_budget.held == 0


async def test_every_failure_is_an_image_error(make: Callable[..., Loader]) -> None:
    for text in (f"data:image/png;base64,{PLAIN[:100]}", "http://[", "x:" + "y" * 100, "/api/images/%"):
        with pytest.raises(ImageError):
            await load(make(), text)
