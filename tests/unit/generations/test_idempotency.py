"""A key belongs to one user, and is recognised with another request."""

from dataclasses import replace
from typing import Any

import pytest

from image_core.api.wire.requests import GenerateRequest
from image_core.auth.user import User
from image_core.errors import InvalidRequest
from image_core.generations.idempotency import checked_key, fingerprint, record_id
from image_core.generations.request import GenerationRequest
from image_core.models.generated import Options


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a" * 256, "a\tb", "\x7f"])
def test_key_of_other_characters_or_length_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 255 visible ASCII characters") as caught:
        checked_key(key)
    assert caught.value.field == "Idempotency-Key"


@pytest.mark.parametrize("key", ["a", "a" * 255, "6f1c-~!/\\%"])
def test_visible_ascii_is_a_key(key: str) -> None:
    assert checked_key(key) == key
    assert checked_key(None) is None


def test_the_id_depends_on_user_and_key_and_shows_neither() -> None:
    ada = record_id(User("ada@example.com"), "one")
    assert ada == record_id(User("ada@example.com"), "one")
    assert len({ada, record_id(User("ada@example.com"), "two"), record_id(User("bob@example.com"), "one")}) == 3
    assert ada == "gen-key-5a87d57a3f7a1c0e2c39e82599b42fcf2b662b12", "the id of earlier versions"


@pytest.mark.parametrize(
    "change",
    [
        {"images": ("b", "a")},
        {"images": ("a",)},
        {"images": ("ab",)},
        {"prompt": "y"},
        {"options": Options(aspect_ratio="1:1")},
        {"options": Options(image_size="2K")},
        {"options": Options(model="m")},
        {"options": Options(output_format="webp")},
        {"options": Options(output_quality=80)},
        {"from_id": "gen-1"},
        {"mask": "m"},
    ],
    ids=str,
)
def test_any_part_that_counts_changes_the_fingerprint(change: dict[str, Any]) -> None:
    request = GenerationRequest(("a", "b"), "x", Options())
    assert fingerprint(request) != fingerprint(replace(request, **change))


def test_form_of_the_response_does_not_change_the_fingerprint() -> None:
    plain, without = (
        GenerateRequest.parse(b'{"images":["a"],"prompt":"x"%s}' % more, 3) for more in (b"", b',"includeBase64":false')
    )
    assert fingerprint(plain.to_domain()) == fingerprint(without.to_domain())


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (b'{"images":["a","b"],"prompt":"x"}', "6e7d22e731706d3a5b717df5f9d0b333d626ea79cc96fbc3349c268f6b782a01"),
        (
            b'{"images":["a"],"prompt":"x","model":"m","aspectRatio":"1:1","imageSize":"2K"}',
            "7a31df74ca01d581f5993d5e4b49a17edce85806a03e274053b984a5ad75d960",
        ),
        (
            b'{"images":["a"],"prompt":"x","from":"gen-1795608000000-0a","mask":"data:image/png;base64,AAAA"}',
            "18ae2196b63f03559283cd0a37a0655d155275b147c8525a25b2d05f181941c2",
        ),
    ],
)
def test_keys_of_earlier_versions_have_the_same_fingerprint(body: bytes, digest: str) -> None:
    assert fingerprint(GenerateRequest.parse(body, 3).to_domain()) == digest
