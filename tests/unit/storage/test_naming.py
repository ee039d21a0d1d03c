"""The grammar of names: a built name parses to its parts, and no other name parses."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.auth.user import User
from image_core.storage import naming
from image_core.storage.naming import InputBlob, Locations, OutboxImage, OutboxRecord, RenditionBlob, TurnBlob

ADA, BOB = User("ada@example.com"), User("bob@example.com")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEX = "0123456789abcdef"
PARSERS = (InputBlob, TurnBlob, RenditionBlob, OutboxRecord, OutboxImage)
ACCOUNT = "https://account.blob.core.windows.net"
PUBLIC = Locations(ACCOUNT, "images", "private", private=False)
PRIVATE = Locations(ACCOUNT, "images", "private", private=True)

folders = st.text(HEX, min_size=32, max_size=32)
tokens = st.text(HEX, min_size=32, max_size=32)
times = st.datetimes(datetime(2002, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds UTC
stems = st.builds(naming.new_stem, times, tokens)
file_names = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=60).map("{}.png".format)
uploads = st.builds(naming.upload_name, times, tokens, file_names)
image_names = st.builds(naming.image_name, stems, st.sampled_from(["png", "jpg", "webp"]))
blobs = st.one_of(
    st.builds(InputBlob, folders, st.text(HEX, min_size=64, max_size=64), st.sampled_from(["png", "jpg", "original"])),
    st.builds(TurnBlob, folders, stems, tokens),
    st.builds(
        RenditionBlob,
        folders,
        st.one_of(image_names, uploads),
        st.one_of(st.none(), st.integers(1, 4096)),
        st.sampled_from(["png", "jpeg", "webp"]),
    ),
    st.builds(OutboxRecord, st.builds(naming.new_record_id, times, st.text(HEX, min_size=16, max_size=16))),
    st.builds(OutboxImage, image_names),
)


@given(blob=blobs)
def test_path_of_a_blob_parses_to_its_parts_and_as_no_other_kind(
    blob: InputBlob | TurnBlob | RenditionBlob | OutboxRecord | OutboxImage,
) -> None:
    assert [found for parser in PARSERS if (found := parser.parse(blob.path)) is not None] == [blob]


@given(blob=blobs, where=st.integers(0, 60), extra=st.sampled_from(["/", "\\", "\x00", "\n", "../", "\x7f"]))
def test_path_with_an_extra_separator_or_control_character_does_not_parse(
    blob: InputBlob | TurnBlob | RenditionBlob | OutboxRecord | OutboxImage, where: int, extra: str
) -> None:
    path = blob.path[:where] + extra + blob.path[where:]
    assert all(parser.parse(path) is None for parser in PARSERS)


@given(path=st.text())
def test_parsed_path_is_built_again_unchanged(path: str) -> None:
    for parser in PARSERS:
        found = parser.parse(path)
        assert found is None or found.path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "inputs/",
        f"inputs/{'0' * 32}",
        f"inputs/{'0' * 32}/{'a' * 64}.gif",
        f"inputs/{'0' * 31}/{'a' * 64}.png",
        f"inputs/{'0' * 32}/{'a' * 64}.png.png",
        f"{'0' * 32}/{'a' * 64}.png",
        f"turns/{'0' * 32}/generated-1",
        f"turns/{'0' * 32}/.token",
        f"renditions/{'0' * 32}/a.png/0.webp",
        f"renditions/{'0' * 32}/a.png/640.gif",
        f"renditions/{'0' * 32}/a.png/x/640.webp",
        f"renditions/{'0' * 32}//640.webp",
        "finished/.json",
        "finished/gen-1",
        "finished/readme.json",
        "images/.png",
        "images/readme.txt",
        "images/a/b.png",
    ],
)
def test_foreign_name_does_not_parse(path: str) -> None:
    assert all(parser.parse(path) is None for parser in PARSERS)


@given(stem=stems, extension=st.sampled_from(["png", "jpg", "webp"]))
def test_name_of_a_generated_image_has_its_stem(stem: str, extension: str) -> None:
    name = naming.image_name(stem, extension)
    assert naming.stem_of(name) == stem
    assert naming.is_own_stem(stem)
    assert naming.is_generated(name)
    assert not naming.is_upload(name)
    assert not naming.is_record_id(name)
    assert not naming.is_copy(name)


@given(name=uploads)
def test_name_of_an_upload_is_not_that_of_a_generated_image(name: str) -> None:
    assert naming.is_upload(name)
    assert not naming.is_generated(name)
    assert not naming.is_record_id(name)
    assert not naming.is_copy(name)


def test_id_of_a_generation_is_not_the_name_of_an_image() -> None:
    for record_id in (naming.new_record_id(NOW, "0" * 16), naming.keyed_record_id("0" * 40), "gen-1704067230000-abc"):
        assert naming.is_record_id(record_id)
        assert PUBLIC.find(ADA, record_id) == ()
    for name in ("gen-", "gen-a/b", "gen-a b", "gen-a\\b", "generated-1", "gen-" + "x" * 251):
        assert not naming.is_record_id(name)


def test_id_has_the_time_of_its_generation() -> None:
    minute, old = timedelta(minutes=1), naming.new_record_id(NOW - timedelta(minutes=2), "ab")
    assert naming.may_be_newer(naming.new_record_id(NOW - timedelta(seconds=59), "ab"), NOW, minute)
    assert not naming.may_be_newer(old, NOW, minute)
    assert naming.may_be_newer(naming.keyed_record_id("0" * 40), NOW, minute)
    assert not naming.may_be_newer("gen-of-the-original-product", NOW, minute)


def test_name_of_a_copy_leads_to_the_folder_of_the_user_who_asks() -> None:
    copy = InputBlob(ADA.folder, "a" * 64, "png")
    assert naming.is_copy(copy.copy_name)
    assert InputBlob.named(ADA, copy.copy_name) == copy
    assert InputBlob.named(BOB, copy.copy_name) == InputBlob(BOB.folder, "a" * 64, "png")
    assert InputBlob.named(ADA, copy.file_name) is None
    assert InputBlob.original(ADA, copy.file_name) is None


def test_original_has_no_name_in_the_api() -> None:
    original = InputBlob(ADA.folder, "a" * 64, naming.ORIGINAL)
    assert InputBlob.original(ADA, original.file_name) == original
    assert InputBlob.named(ADA, original.copy_name) is None
    assert PUBLIC.find(ADA, original.copy_name) == ()


@pytest.mark.parametrize("name", ["generated-1704067230000.png", "1704067230000-grüße & co #1 100%.png"])
@pytest.mark.parametrize("locations", [PUBLIC, PRIVATE], ids=["public", "private"])
def test_url_has_the_name_of_its_image(name: str, locations: Locations) -> None:
    assert naming.name_in(locations.url(name)) == name
    assert naming.name_in(naming.api_url(name)) == name


def test_image_is_found_in_the_current_and_the_earlier_location() -> None:
    name, in_folder = "generated-1704067230000.png", f"{ADA.folder}/generated-1704067230000.png"
    assert [(each.path, each.in_folder) for each in PUBLIC.find(ADA, name)] == [(name, False), (in_folder, True)]
    assert [(each.path, each.in_folder) for each in PRIVATE.find(ADA, name)] == [(in_folder, True), (name, False)]
    assert PUBLIC.path(ADA, name) == name
    assert PRIVATE.path(ADA, name) == in_folder
    assert PUBLIC.find(ADA, in_folder) == ()


def test_url_of_a_public_blob_is_replaced_while_images_are_private() -> None:
    name = "1704067230000-a b.png"
    assert PRIVATE.current_url(PUBLIC.url(name)) == "/api/images/1704067230000-a%20b.png"
    assert PUBLIC.current_url(PUBLIC.url(name)) == PUBLIC.url(name)
    for foreign in ("https://example.com/images/a.png", f"{ACCOUNT}/images-2/a.png", "/api/images/a.png"):
        assert PRIVATE.current_url(foreign) == foreign


def test_path_in_another_users_folder_has_no_name() -> None:
    assert PUBLIC.name_at(ADA, "a.png") == "a.png"
    assert PUBLIC.name_at(ADA, f"{ADA.folder}/a.png") == "a.png"
    assert PUBLIC.name_at(ADA, f"{BOB.folder}/a.png") is None


def test_url_of_the_original_product_names_an_image_in_the_container() -> None:
    assert PUBLIC.original_name("https://old.example/images/generated-1%20a.png") == "generated-1 a.png"
    for url in ("https://old.example/other/a.png", "https://old.example/images/", "https://old.example/a.png", ""):
        assert PUBLIC.original_name(url) is None
