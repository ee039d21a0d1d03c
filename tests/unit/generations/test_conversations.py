"""Turns are stored beside images, and read again whole or not at all."""

import re
from dataclasses import dataclass

import pytest

from image_core.generations.context import Conversations
from image_core.generations.record import Record, StoredTurn
from image_core.images.image import Image
from image_core.models.turns import ModelTurn
from image_core.storage.input_copies import InputCopies
from image_core.storage.turns import Turns
from tests.support import records
from tests.support.domain import ADA, PRIVATE, Process
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect
from tests.support.logs import logged

MODEL = "gemini-3-pro-image"
TOKEN = "a" * 32


@dataclass(slots=True)
class Kept:
    """Three generations of a chain, each with an image that was added to the one before."""

    blobs: FakeBlobs
    copies: InputCopies
    conversations: Conversations
    turns: tuple[StoredTurn, ...] = ()

    def forget(self, name: str) -> None:
        """Delete the one private blob whose name contains `name`."""
        (found,) = [each for each in self.blobs.containers[PRIVATE] if name in each]
        del self.blobs.containers[PRIVATE][found]

    def path(self, number: int) -> str:
        """Return the name of the blob of a turn."""
        (found,) = [each for each in self.blobs.containers[PRIVATE] if stem(number) in each]
        return found

    async def overwrite(self, number: int, data: bytes) -> None:
        """Store something else as a turn."""
        await self.blobs.put(PRIVATE, self.path(number), data, "text/plain", overwrite=True)

    async def read(self) -> list[tuple[list[bytes], str, bytes]]:
        """Images, prompt and answer of each turn that is read."""
        found = await self.conversations.read(ADA, self.turns)
        return [([image.data for image in turn.images], turn.prompt, bytes(turn.answer)) for turn in found]


def stem(number: int) -> str:
    return f"generated-1767225600000-{number:032}"


def image(text: str) -> Image:
    return Image(text.encode(), "image/png", 1, 1)


def answer(number: int) -> ModelTurn:
    return ModelTurn((b'{"parts":', memoryview(b"[%d]" % number), b"}"), 1, 5)


async def generation(kept: Kept, number: int) -> Record:
    inputs = await kept.copies.put_all(ADA, (image(f"image {number}"), image(f"added {number}")))
    return records.make(
        ADA, number, inputs=inputs, prompt=f'prompt\n"{number}"', blob_stem=stem(number), lease_owner=TOKEN
    )


@pytest.fixture
async def kept() -> Kept:
    process = Process()
    made = Kept(process.store.blobs, process.copies, process.conversations)
    for number in (1, 2, 3):
        record = await generation(made, number)
        turn = await made.conversations.keep(record, MODEL, answer(number))
        assert turn is not None
        made.turns += (turn,)
    return made


TURNS = [
    ([b"image 1", b"added 1"], 'prompt\n"1"', b'{"parts":[1]}'),
    ([b"added 2"], 'prompt\n"2"', b'{"parts":[2]}'),
    ([b"added 3"], 'prompt\n"3"', b'{"parts":[3]}'),
]
SECOND_FIRST = [([b"image 2", b"added 2"], *TURNS[1][1:]), TURNS[2]]
THIRD_FIRST = [([b"image 3", b"added 3"], *TURNS[2][1:])]


async def test_turns_are_read_as_they_were_stored(kept: Kept) -> None:
    assert await kept.read() == TURNS
    assert [turn.name for turn in kept.turns] == [f"{stem(number)}.{TOKEN}" for number in (1, 2, 3)]
    assert {(turn.model, turn.images, turn.characters) for turn in kept.turns} == {(MODEL, 1, 10 + 5)}


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (stem(1), SECOND_FIRST),
        (stem(2), THIRD_FIRST),
        (stem(3), []),
    ],
    ids=["the oldest", "one between", "the newest"],
)
async def test_a_turn_that_is_gone_ends_the_conversation_there(
    kept: Kept, gone: str, expected: list[tuple[list[bytes], str, bytes]]
) -> None:
    kept.forget(gone)
    assert await kept.read() == expected


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ("image 1", SECOND_FIRST),
        ("added 1", SECOND_FIRST),
        ("image 2", TURNS),
        ("added 2", THIRD_FIRST),
        ("added 3", []),
    ],
)
async def test_an_image_that_is_gone_takes_its_turn_along_where_it_is_shown(
    kept: Kept, gone: str, expected: list[tuple[list[bytes], str, bytes]]
) -> None:
    kept.forget(image(gone).sha256())
    assert await kept.read() == expected


@pytest.mark.parametrize(
    "beginning",
    [b"no line", b"no JSON\n", b"{}\n", b"[]\n", b'"prompt"\n', b"5\n", b'{"prompt":5}\n', b"[" * 30],
)
async def test_a_turn_that_is_not_valid_counts_as_gone(
    kept: Kept, beginning: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await kept.overwrite(2, beginning.ljust(kept.turns[1].size))
    assert await kept.read() == THIRD_FIRST
    (message,) = [each.getMessage() for each in caplog.records]
    assert re.fullmatch("an earlier turn cannot be read: (ValueError|JSONDecodeError|RecursionError)", message)


@pytest.mark.parametrize("length", [0, -1, 1000])
async def test_a_turn_of_another_length_than_it_was_stored_with_counts_as_gone(kept: Kept, length: int) -> None:
    turn = await kept.blobs.read(PRIVATE, kept.path(2), 1000)
    await kept.overwrite(2, turn.ljust(length) if length > 0 else turn[:length])
    assert await kept.read() == THIRD_FIRST


async def test_a_storage_that_does_not_answer_leaves_the_turns_out(kept: Kept) -> None:
    kept.blobs.faults.add(Effect.REFUSED, "read", "turns/", times=3)
    assert await kept.read() == []
    kept.blobs.faults.clear()
    kept.blobs.faults.add(Effect.REFUSED, "read", "inputs/", times=100)
    assert await kept.read() == []


async def test_a_turn_that_cannot_be_stored_is_none(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    record = await generation(kept, 4)
    kept.blobs.faults.add(Effect.REFUSED, "put", "turns/")
    assert await kept.conversations.keep(record, MODEL, answer(4)) is None
    assert await kept.conversations.keep(record, MODEL, None) is None
    assert logged(caplog) == [("a turn was not stored: StorageUnavailable", record.id)]


async def test_a_defect_of_storing_a_turn_loses_no_image(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    broken = ModelTurn((5,), 1, 5)  # type: ignore[arg-type] # no piece of JSON
    record = await generation(kept, 4)
    assert await kept.conversations.keep(record, MODEL, broken) is None
    assert logged(caplog) == [("storing a turn broke: TypeError", record.id)]


async def test_the_turns_of_one_image_are_deleted_together(kept: Kept) -> None:
    await Turns(kept.blobs, PRIVATE).delete_all(ADA, stem(2))
    assert await kept.read() == THIRD_FIRST
