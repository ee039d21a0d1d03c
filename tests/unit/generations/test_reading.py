"""Images and input copies are read back by their owners only, in every place where they may be stored."""

from dataclasses import replace
from typing import Any

import pytest

from image_core.errors import Busy, InvalidImage, NotFound, Refused, StorageUnavailable
from image_core.generations.reading import stored_name
from image_core.generations.record import Status
from image_core.generations.result import Result
from image_core.images.fault import Fault
from image_core.images.image import Target
from image_core.inputs.owned_urls import OwnBlob, OwnResult
from tests.support.domain import ADA, BOB, PRIVATE, PUBLIC, Process, image
from tests.support.fakes.model import Call

LIMIT = 1_000_000
TARGET = Target(320, "webp", 80)


async def test_image_is_answered_from_memory_else_from_its_blob() -> None:
    process = Process()
    record = await process.make()
    with process.memory.claim(ADA.id) as claim:
        assert await process.reading.image(Result(record, image(3)), claim) == image(3)
        assert process.memory.held == 0
        assert await process.reading.image(Result(record), claim) == process.model.image
        assert process.memory.held == len(process.model.image.data)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mime_type": "image/webp", "width": 7, "height": 9}, ("image/webp", 7, 9)),
        ({"mime_type": None, "width": None, "height": None}, ("image/png", 0, 0)),
    ],
    ids=["of this API", "of the original product"],
)
async def test_image_is_described_as_its_record_says(changes: dict[str, Any], expected: tuple[str, int, int]) -> None:
    process = Process()
    record = replace(await process.make(), **changes)
    with process.memory.claim(ADA.id) as claim:
        found = await process.reading.image(Result(record), claim)
    assert (found.mime_type, found.width, found.height) == expected


async def test_image_that_is_gone_is_an_outage() -> None:
    process = Process()
    record = await process.make()
    process.store.blobs.containers[PUBLIC].clear()
    with process.memory.claim(ADA.id) as claim, pytest.raises(StorageUnavailable):
        await process.reading.image(Result(record), claim)
    with pytest.raises(NotFound):
        await process.reading.open_result(record)


async def test_image_and_input_copy_are_opened_by_their_owner_only() -> None:
    process = Process()
    record = await process.make()
    for name, container in ((stored_name(record), PUBLIC), (record.inputs[0].name, PRIVATE)):
        opened = await process.reading.open(ADA, name)
        assert opened.container == container
        with pytest.raises(NotFound):
            await process.reading.open(BOB, name)


@pytest.mark.parametrize("private", [True, False])
async def test_image_that_was_stored_before_image_access_was_changed_is_opened_and_is_an_input(private: bool) -> None:
    process = Process(private=not private)
    record = await process.make()
    changed = Process(process.store, private=private)
    name = stored_name(record)
    opened = await changed.reading.open(ADA, name)
    assert await changed.reading.read(opened, 0, 10_000) == process.model.image.data
    own = OwnBlob(name, changed.locations.find(ADA, name))
    for each in (own, OwnResult(record.id)):
        assert await changed.reading.read_input(ADA, each, LIMIT) == process.model.image.data


async def test_memory_for_an_input_is_reserved_before_it_is_read() -> None:
    process = Process()
    record = await process.make()
    reserved: list[int] = []

    async def reserve(size: int) -> None:
        reserved.append(size)
        raise Busy("later")

    with pytest.raises(Busy):
        await process.reading.read_input(ADA, OwnResult(record.id), LIMIT, reserve)
    assert reserved == [len(process.model.image.data)]


async def test_image_without_metadata_is_its_owners_by_a_record_of_the_original_product() -> None:
    process = Process()
    name = "generated-1600000000000.png"
    await process.store.blobs.put(PUBLIC, name, b"x", "image/png", overwrite=True)
    url = f"https://account.example/{PUBLIC}/{name}"
    await process.store.generations.create({"id": "old", "userId": ADA.id, "outputImageUrl": url, "createdAt": "2025"})
    assert (await process.reading.open(ADA, name)).blob.name == name
    with pytest.raises(NotFound):
        await process.reading.open(BOB, name)


async def test_range_of_a_blob_and_of_one_that_was_deleted_meanwhile() -> None:
    process = Process()
    opened = await process.reading.open(ADA, stored_name(await process.make()))
    assert await process.reading.read(opened, 1, 3) == b"PNG"
    process.store.blobs.containers[PUBLIC].clear()
    with pytest.raises(NotFound):
        await process.reading.read(opened, 1, 3)


async def test_deleting_an_image_deletes_its_renditions_too() -> None:
    process = Process()
    name = stored_name(await process.make())
    opened = await process.reading.open(ADA, name)
    await process.rendition_maker.open(ADA, name, opened, TARGET, process.fake_clock.clock.deadline(10))
    await process.reading.delete(ADA, name)
    assert (process.store.images(), [each for each in process.store.blobs.names(PRIVATE) if "renditions" in each]) == (
        [],
        [],
    )


async def test_image_of_a_generation_is_an_input() -> None:
    process = Process()
    record = await process.make()
    assert await process.reading.read_input(ADA, OwnResult(record.id), LIMIT) == process.model.image.data


async def test_generation_without_an_image_is_no_input() -> None:
    process = Process()
    process.model.script = [Call(error=Refused())]
    failed = await process.make()
    running = await process.begin(queued=True)
    for record, details in ((failed, "its generation has no image"), (running, "its generation has no image yet")):
        with pytest.raises(Fault) as caught:
            await process.reading.read_input(ADA, OwnResult(record.id), LIMIT)
        assert (caught.value.kind, caught.value.details) == (InvalidImage, details)


async def test_generation_of_another_user_or_a_deleted_one_is_no_input() -> None:
    process = Process()
    record = await process.make()
    await process.store.write(replace(record, status=Status.DELETING))
    for user in (ADA, BOB):
        with pytest.raises(Fault):
            await process.reading.read_input(user, OwnResult(record.id), LIMIT)


async def test_public_image_is_an_input_of_everyone() -> None:
    process = Process()
    name = stored_name(await process.make())
    own = OwnBlob(name, process.locations.find(BOB, name))
    assert await process.reading.read_input(BOB, own, LIMIT) == process.model.image.data
    process.store.blobs.containers[PUBLIC].clear()
    with pytest.raises(Fault):
        await process.reading.read_input(BOB, own, LIMIT)


async def test_private_image_outside_of_folders_is_an_input_of_its_owner_only() -> None:
    process = Process(private=True)
    name = "generated-1600000000000-abc.png"
    metadata = {"user": await process.pseudonyms.of_owner(ADA, name)}
    await process.store.blobs.put(PUBLIC, name, b"x", "image/png", overwrite=True, metadata=metadata)
    assert await process.reading.read_input(ADA, OwnBlob(name, process.locations.find(ADA, name)), LIMIT) == b"x"
    with pytest.raises(Fault):
        await process.reading.read_input(BOB, OwnBlob(name, process.locations.find(BOB, name)), LIMIT)


async def test_addresses_that_are_shown_can_be_read_now() -> None:
    record = await Process().make()
    record = replace(record, input_images=(str(record.output_image_url), "https://example.com/a.png"))
    assert Process().reading.shown(record) == record
    shown = Process(private=True).reading.shown(record)
    here = f"/api/images/{stored_name(record)}"
    assert shown == replace(record, output_image_url=here, input_images=(here, "https://example.com/a.png"))
    running = replace(record, output_image_url=None)
    assert Process().reading.shown(running) == running
