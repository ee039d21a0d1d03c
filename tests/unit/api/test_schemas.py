"""A request's JSON is parsed, or refused with the invalid field."""

import pytest

from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS, GenerateRequest
from image_core.errors import ImageError, InvalidRequest
from image_core.models.generated import Options

DEEP = b"[" * 10_000 + b"]" * 10_000

REFUSED: list[tuple[str, bytes, str, str | None]] = [
    ("an empty body", b"", "invalid_json", None),
    ("not JSON", b"images=1", "invalid_json", None),
    ("cut off", b'{"images":["a"],"prompt":"x"', "invalid_json", None),
    ("two values", b'{"images":["a"],"prompt":"x"} {}', "invalid_json", None),
    ("two byte order marks", b'\xef\xbb\xbf\xef\xbb\xbf{"images":["a"],"prompt":"x"}', "invalid_json", None),
    ("only a byte order mark", b"\xef\xbb\xbf", "invalid_json", None),
    ("UTF-16", '{"images":["a"],"prompt":"x"}'.encode("utf-16"), "invalid_json", None),
    ("bytes that are not UTF-8", b'{"images":["a"],"prompt":"\xff"}', "invalid_json", None),
    ("10 000 levels", DEEP, "invalid_json", None),
    ("10 000 levels in an unknown field", b'{"images":["a"],"prompt":"x","z":' + DEEP + b"}", "invalid_request", None),
    ("a lone surrogate", b'{"images":["a"],"prompt":"\\ud800"}', "invalid_json", None),
    ("an array", b"[]", "invalid_request", None),
    ("null", b"null", "invalid_request", None),
    ("a string", b'"x"', "invalid_request", None),
    ("no images", b'{"prompt":"x"}', "no_images", "images"),
    ("images null", b'{"images":null,"prompt":"x"}', "no_images", "images"),
    ("images empty", b'{"images":[],"prompt":"x"}', "no_images", "images"),
    ("images and prompt missing", b"{}", "no_images", "images"),
    ("images a string", b'{"images":"a","prompt":"x"}', "invalid_request", "images"),
    ("images an object", b'{"images":{"0":"a"},"prompt":"x"}', "invalid_request", "images"),
    ("an element a number", b'{"images":["a",3],"prompt":"x"}', "invalid_request", "images[1]"),
    ("an element null", b'{"images":[null],"prompt":"x"}', "invalid_request", "images[0]"),
    ("too many images", b'{"images":["a","a","a","a"],"prompt":"x"}', "invalid_request", "images"),
    ("an empty from", b'{"from":"","prompt":"x"}', "no_images", "images"),
    ("from null", b'{"from":null,"prompt":"x"}', "no_images", "images"),
    ("from a number", b'{"from":1,"prompt":"x"}', "invalid_request", "from"),
    ("too many images with from", b'{"from":"g","images":["a","a","a"],"prompt":"x"}', "invalid_request", "images"),
    ("from and no prompt", b'{"from":"g"}', "no_prompt", "prompt"),
    ("no prompt", b'{"images":["a"]}', "no_prompt", "prompt"),
    ("prompt null", b'{"images":["a"],"prompt":null}', "no_prompt", "prompt"),
    ("prompt blank", b'{"images":["a"],"prompt":" \\n\\t"}', "no_prompt", "prompt"),
    ("prompt a list", b'{"images":["a"],"prompt":["x"]}', "invalid_request", "prompt"),
    ("prompt a number", b'{"images":["a"],"prompt":3}', "invalid_request", "prompt"),
    (
        "prompt too long",
        b'{"images":["a"],"prompt":"' + b"x" * (MAX_PROMPT_CHARACTERS + 1) + b'"}',
        "invalid_request",
        "prompt",
    ),
    ("aspect ratio unknown", b'{"images":["a"],"prompt":"x","aspectRatio":"7:3"}', "invalid_request", "aspectRatio"),
    ("image size unknown", b'{"images":["a"],"prompt":"x","imageSize":"8K"}', "invalid_request", "imageSize"),
    ("output format unknown", b'{"images":["a"],"prompt":"x","outputFormat":"gif"}', "invalid_request", "outputFormat"),
    (
        "output format in capitals",
        b'{"images":["a"],"prompt":"x","outputFormat":"PNG"}',
        "invalid_request",
        "outputFormat",
    ),
    ("output quality 0", b'{"images":["a"],"prompt":"x","outputQuality":0}', "invalid_request", "outputQuality"),
    ("output quality 101", b'{"images":["a"],"prompt":"x","outputQuality":101}', "invalid_request", "outputQuality"),
    ("output quality 1.5", b'{"images":["a"],"prompt":"x","outputQuality":1.5}', "invalid_request", "outputQuality"),
    (
        "output quality a boolean",
        b'{"images":["a"],"prompt":"x","outputQuality":true}',
        "invalid_request",
        "outputQuality",
    ),
    (
        "output quality a string",
        b'{"images":["a"],"prompt":"x","outputQuality":"90"}',
        "invalid_request",
        "outputQuality",
    ),
    ("model a number", b'{"images":["a"],"prompt":"x","model":1}', "invalid_request", "model"),
    (
        "a string for a boolean",
        b'{"images":["a"],"prompt":"x","includeBase64":"no"}',
        "invalid_request",
        "includeBase64",
    ),
]


@pytest.mark.parametrize(("body", "code", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_invalid_body_is_refused_with_its_field(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(ImageError) as caught:
        GenerateRequest.parse(body, max_images=3)
    assert caught.value.status == 400
    assert caught.value.code == code
    assert isinstance(caught.value, InvalidRequest)
    assert caught.value.field == field


def test_missing_images_and_prompt_have_the_messages_that_clients_compare() -> None:
    for body, message in ((b'{"prompt":"x"}', "No images provided"), (b'{"images":["a"]}', "No prompt provided")):
        with pytest.raises(ImageError) as caught:
            GenerateRequest.parse(body, max_images=3)
        assert caught.value.body()["error"] == message


def test_error_does_not_repeat_the_body() -> None:
    with pytest.raises(ImageError) as caught:
        GenerateRequest.parse(b'{"images":["a"],"prompt":["my secret plan"]}', max_images=3)
    assert "secret" not in str(caught.value.body()) + str(caught.value)


def test_options_are_optional_and_unknown_fields_are_ignored() -> None:
    request = GenerateRequest.parse(
        b'{"images":["a","b"],"prompt":" x ","aspectRatio":null,"imageSize":"2K","includeBase64":null,"seed":7}', 3
    )
    assert request.images == ("a", "b")
    assert request.prompt == " x "
    assert request.to_domain().options == Options(image_size="2K")
    assert request.include_base64 is True


def test_mask_keeps_the_shape_of_its_image() -> None:
    masked = GenerateRequest.parse(
        b'{"images":["a"],"prompt":"x","mask":"m","imageSize":"2K","aspectRatio":"auto"}', 14
    )
    assert (masked.mask, masked.to_domain().options) == ("m", Options(image_size="2K"))
    with pytest.raises(InvalidRequest) as caught:
        GenerateRequest.parse(b'{"images":["a"],"prompt":"x","mask":"m","aspectRatio":"1:1"}', 14)
    assert caught.value.field == "aspectRatio"


@pytest.mark.parametrize("mask", [b"null", b'""'])
def test_empty_mask_is_absent(mask: bytes) -> None:
    body = b'{"images":["a"],"prompt":"x","aspectRatio":"1:1","mask":' + mask + b"}"
    assert GenerateRequest.parse(body, 14).mask is None


def test_leading_byte_order_mark_is_skipped() -> None:
    assert GenerateRequest.parse(b'\xef\xbb\xbf{"images":["a"],"prompt":"x"}', 3).prompt == "x"


@pytest.mark.parametrize("field", ["aspectRatio", "imageSize", "outputFormat"])
@pytest.mark.parametrize("value", [b'""', b'"auto"', b"null"])
def test_empty_or_automatic_choice_is_absent(field: str, value: bytes) -> None:
    body = b'{"images":["a"],"prompt":"x","%s":%s}' % (field.encode(), value)
    assert GenerateRequest.parse(body, 3).to_domain().options == Options()


@pytest.mark.parametrize("value", [b'"Auto"', b'" "', b"0", b"false", b"[]", b'"auto "'])
def test_other_values_of_an_absent_choice_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        GenerateRequest.parse(b'{"images":["a"],"prompt":"x","aspectRatio":%s}' % value, 3)
    assert caught.value.field == "aspectRatio"
