"""Which earlier turns are replayed: the newest that fit, and the images that belong to them."""

from dataclasses import replace

import pytest

from image_core.generations.context import MAX_TURNS, fitting, memory, shown, size
from image_core.generations.record import StoredTurn
from image_core.inputs.fit import MAX_INLINE_BYTES, RESERVED_BYTES
from image_core.models.turns import ContextSize
from image_core.storage.input_copies import InputCopy

PRO = "gemini-3-pro-image"
MUCH = 10**12
MOST = MAX_INLINE_BYTES - RESERVED_BYTES


def copy(name: str, count: int = 300) -> InputCopy:
    return InputCopy(name, "image/png", 10, 10, count)


def turn(name: str, *inputs: InputCopy, count: int = 1000, images: int = 2) -> StoredTurn:
    return StoredTurn(name, PRO, count, images, 50, inputs or (copy(f"earlier {name}"), copy(f"added {name}")))


FOUR = tuple(turn(str(number)) for number in range(4))


def test_the_newest_turns_are_replayed_in_their_order() -> None:
    assert MAX_TURNS == 3
    assert fitting(FOUR, 0, 0, MUCH) == FOUR[1:]
    assert fitting(FOUR[:2], 0, 0, MUCH) == FOUR[:2]
    assert fitting((), 0, 0, MUCH) == ()


def test_the_oldest_shows_all_of_its_images_and_the_others_those_beside_the_answer_before() -> None:
    names = [each.name for each in shown(FOUR[:2])]
    assert names == ["earlier 0", "added 0", "added 1"]
    assert memory(FOUR[:2]) == 2000 + 900


@pytest.mark.parametrize(("spare", "count"), [(2900, 2), (2899, 1), (1600, 1), (1599, 0), (0, 0)])
def test_older_turns_are_left_out_where_memory_ends(spare: int, count: int) -> None:
    assert fitting(FOUR[2:], 0, 0, spare) == FOUR[4 - count :]


@pytest.mark.parametrize(("more", "count"), [(0, 1), (4, 0)], ids=["as long as may be", "longer"])
def test_older_turns_are_left_out_where_a_request_would_be_too_long(more: int, count: int) -> None:
    long = turn("long", copy("earlier"), copy("large", 3_000_000), count=MOST - 4_000_000 - 800 + more)
    assert fitting((FOUR[0], long), 0, 300, MUCH) == (long,)[:count]


@pytest.mark.parametrize(("added", "count"), [(0, 3), (4, 3), (5, 2), (7, 2), (8, 1), (10, 1), (11, 0)])
def test_older_turns_are_left_out_where_a_model_takes_no_more_images(added: int, count: int) -> None:
    """Each answer has two images: with one turn the user's two are added, and one more with each further turn."""
    assert len(fitting(FOUR, added, 0, MUCH)) == count


def test_turns_of_a_model_that_takes_few_images_are_left_out() -> None:
    """The answer has two images and shows two: one more than the model takes."""
    assert fitting((replace(FOUR[0], model="gemini-2.5-flash-image"),), 0, 0, MUCH) == ()


def test_what_replayed_turns_add_to_the_cost() -> None:
    assert size(()) is None
    assert size(FOUR[:2]) == ContextSize(PRO, 2, 4 + 3, 100)
