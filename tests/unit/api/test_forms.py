"""Upload forms as clients send them, and forms that are expensive to parse."""

import contextlib
import io
from collections.abc import Callable

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.api.forms import MAX_PARTS, Part, uploaded_file
from image_core.errors import ImageError, InvalidRequest, NoFile, UnsupportedMediaType

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
DATA = b"\x89PNG\r\n\x1a\n\r\n--\n----WebKit\r\n"


def part(disposition: bytes, data: bytes, *headers: bytes) -> bytes:
    lines = (b"Content-Disposition: form-data; " + disposition, *headers)
    return b"--" + BOUNDARY.encode() + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"


FILE = part(b'name="file"; filename="a.png"', DATA, b"Content-Type: image/png")

ACCEPTED: list[tuple[str, str, bytes, str | None]] = [
    ("as sent by browsers", TYPE, form(FILE), "a.png"),
    ("beside other fields", TYPE, form(part(b'name="x"', b"1"), FILE, part(b'name="y"', b"2")), "a.png"),
    ("without a file name", TYPE, form(part(b'name="file"', DATA)), None),
    ("a name in UTF-8", TYPE, form(part('name="file"; filename="höhe.png"'.encode(), DATA)), "höhe.png"),
    ("a name in Latin-1", TYPE, form(part('name="file"; filename="höhe.png"'.encode("latin-1"), DATA)), "höhe.png"),
    ("a name as RFC 5987", TYPE, form(part(b"name=\"file\"; filename*=UTF-8''h%C3%B6he.png", DATA)), "höhe.png"),
    ("names without quotation marks", TYPE, form(part(b"name=file; filename=a.png", DATA)), "a.png"),
    ("the type in another case", f"Multipart/Form-Data; Boundary={BOUNDARY}", form(FILE), "a.png"),
    ("a quoted boundary", f'multipart/form-data; boundary="{BOUNDARY}"', form(FILE), "a.png"),
    ("text before and after", TYPE, b"preamble\r\n" + form(FILE) + b"epilogue", "a.png"),
    ("spaces after a boundary", TYPE, form(FILE.replace(b"gW\r\n", b"gW \t\r\n", 1)), "a.png"),
    ("a header in another case", TYPE, form(FILE.replace(b"Content-Disposition", b"content-disposition")), "a.png"),
    ("a header on two lines", TYPE, form(FILE.replace(b"; filename", b";\r\n filename")), "a.png"),
    ("no line break at the end", TYPE, form(FILE).rstrip(), "a.png"),
]


@pytest.mark.parametrize(
    ("content_type", "body", "name"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED]
)
def test_file_is_found_with_its_bytes(content_type: str, body: bytes, name: str | None) -> None:
    assert uploaded_file(content_type, body) == Part("file", name, DATA)


REFUSED: list[tuple[str, str, bytes, type[ImageError], str]] = [
    ("not a form", "application/json", b"{}", UnsupportedMediaType, "multipart/form-data"),
    ("no boundary", "multipart/form-data", form(FILE), NoFile, "no boundary"),
    ("another boundary", "multipart/form-data; boundary=x", form(FILE), NoFile, "not the one of the Content-Type"),
    ("cut off", TYPE, form(FILE)[:-40], NoFile, "last boundary is missing"),
    ("an empty body", TYPE, b"", NoFile, "boundary"),
    ("no part of that name", TYPE, form(part(b'name="image"; filename="a.png"', DATA)), NoFile, ""),
    ("no file chosen", TYPE, form(part(b'name="file"; filename=""', b"")), NoFile, ""),
    ("a part without a header", TYPE, form(b"--" + BOUNDARY.encode() + b"\r\n\r\n" + DATA + b"\r\n"), NoFile, ""),
    (
        "a second file",
        TYPE,
        form(FILE, part(b'name="file"; filename="b.png"', DATA)),
        InvalidRequest,
        "'b.png' is a second one",
    ),
    ("too many parts", TYPE, form(*[part(b'name="x"', b"")] * 10, FILE), InvalidRequest, "at most 10 parts"),
]


@pytest.mark.parametrize(
    ("content_type", "body", "error", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_invalid_form_is_refused_with_the_reason(
    content_type: str, body: bytes, error: type[ImageError], reason: str
) -> None:
    with pytest.raises(error) as refused:
        uploaded_file(content_type, body)
    assert reason in str(refused.value.details or "")


class Counted(bytes):
    """Bytes that count the searches in them."""

    searches = 0

    def find(self, *arguments: object) -> int:
        Counted.searches += 1
        return super().find(*arguments)  # type: ignore[arg-type] # the arguments of bytes.find


@pytest.mark.parametrize(
    "of",
    [
        lambda n: form(*[part(b'name="x"', b"")] * n),
        lambda n: form(part(b'name="file"', (b"\r\n--" + BOUNDARY.encode() + b"x") * n)),
        lambda n: form(part(b'name="file"', (b"--" + BOUNDARY.encode()) * n)),
        lambda n: b"--" + BOUNDARY.encode() + b"\r\nA: b" + b"\r\nA: b" * n,
        lambda n: form(part(b'name="file"', b"\r\n--" * n)),
    ],
    ids=["parts", "boundaries with more behind them", "boundaries without a line break", "header lines", "line breaks"],
)
def test_form_of_any_size_is_parsed_in_a_bounded_number_of_searches(of: Callable[[int], bytes]) -> None:
    Counted.searches = 0
    with contextlib.suppress(ImageError):
        uploaded_file(TYPE, Counted(of(100_000)))
    assert 0 < Counted.searches < 3000


@given(st.binary(max_size=300), st.text(max_size=20))
def test_bytes_in_a_form_of_aiohttp_are_unchanged(data: bytes, name: str) -> None:
    with aiohttp.MultipartWriter("form-data") as writer:
        payload = writer.append(io.BytesIO(data))
        payload.set_content_disposition("form-data", name="file", filename=f"{name or 'a'}.png")
    boundary = writer.boundary.encode()
    head = "".join(f"{key}: {value}\r\n" for key, value in payload.headers.items()).encode(errors="replace")
    body = b"--" + boundary + b"\r\n" + head + b"\r\n" + data + b"\r\n--" + boundary + b"--\r\n"
    assert uploaded_file(writer.content_type, body).data == data


@given(st.binary(max_size=400))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    try:
        found = uploaded_file("multipart/form-data; boundary=x", b"--x\r\n" + body)
    except ImageError:
        return
    assert found.name == "file"


def test_form_with_the_maximum_of_parts_is_accepted() -> None:
    body = form(*[part(b'name="x"', b"")] * (MAX_PARTS - 1), FILE)
    assert uploaded_file(TYPE, body).file_name == "a.png"
