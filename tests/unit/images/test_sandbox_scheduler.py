"""Sandboxes of one process: how many run at once, in which memory, and how long a user waits for one."""

import asyncio
from collections.abc import Callable

import pytest

from image_core.errors import Busy, ImageTooLarge
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from image_core.images.sandbox_scheduler import CONVERSIONS_AT_ONCE, Sandboxes
from tests.support.eventually import eventually

PIXELS, DECODED = 900_000_000, 40_000_000
MOST = most_memory_bytes(DECODED)


class Conversions:
    """Conversions that end when `end` is set; those of `large` users need more than the usual memory."""

    def __init__(self, *large: str) -> None:
        self.large = large
        self.running: list[tuple[str, int]] = []
        self.started: list[str] = []
        self.end = asyncio.Event()

    def of(self, user: str) -> Callable[[bytes, int, int, int], "asyncio.Future[str]"]:
        async def convert(data: bytes, max_pixels: int, max_decoded_pixels: int, memory_bytes: int) -> str:
            assert (data, max_pixels, max_decoded_pixels) == (b"file", PIXELS, DECODED)
            if memory_bytes == USUAL_MEMORY_BYTES and user in self.large:
                raise NeedsMemory
            self.running.append((user, memory_bytes))
            self.started.append(user)
            await self.end.wait()
            self.running.remove((user, memory_bytes))
            return user

        return lambda *arguments: asyncio.ensure_future(convert(*arguments))

    def start(self, sandboxes: Sandboxes, user: str, seconds: float = 60) -> "asyncio.Task[str]":
        return asyncio.create_task(sandboxes.run(b"file", user, lambda: seconds, self.of(user)))


@pytest.fixture
def sandboxes() -> Sandboxes:
    return Sandboxes(PIXELS, DECODED)


async def test_a_file_is_converted_in_the_usual_memory(sandboxes: Sandboxes) -> None:
    conversions = Conversions()
    task = conversions.start(sandboxes, "ada")
    await eventually(lambda: conversions.running == [("ada", USUAL_MEMORY_BYTES)])
    conversions.end.set()
    assert await task == "ada"


async def test_a_file_that_needs_more_is_converted_in_the_maximum_of_memory(sandboxes: Sandboxes) -> None:
    conversions = Conversions("ada")
    task = conversions.start(sandboxes, "ada")
    await eventually(lambda: conversions.running == [("ada", MOST)])
    conversions.end.set()
    assert await task == "ada"


async def test_a_file_that_needs_more_than_the_maximum_is_too_large(sandboxes: Sandboxes) -> None:
    async def convert(data: bytes, max_pixels: int, max_decoded_pixels: int, memory_bytes: int) -> None:
        raise NeedsMemory

    for _ in range(CONVERSIONS_AT_ONCE + 1):  # the sandboxes are returned
        with pytest.raises(Fault) as caught:
            await sandboxes.run(b"file", "ada", lambda: 0.0, convert)
        assert caught.value.kind is ImageTooLarge
        assert f"more than {MOST // 2**20} MB" in caught.value.details


async def test_three_users_have_a_sandbox_each_and_a_fourth_waits(sandboxes: Sandboxes) -> None:
    conversions = Conversions()
    tasks = [conversions.start(sandboxes, user) for user in ("ada", "bob", "eve", "dan", "ada")]
    await eventually(lambda: len(conversions.running) == 3)
    assert {user for user, _ in conversions.running} == {"ada", "bob", "eve"}
    with pytest.raises(Busy):
        await conversions.start(sandboxes, "fay", seconds=0)
    conversions.end.set()
    assert await asyncio.gather(*tasks) == ["ada", "bob", "eve", "dan", "ada"]


async def test_one_file_at_a_time_has_more_than_the_usual_memory(sandboxes: Sandboxes) -> None:
    conversions = Conversions("ada", "bob")
    tasks = [conversions.start(sandboxes, user) for user in ("ada", "bob")]
    await eventually(lambda: len(conversions.running) == 1)
    with pytest.raises(Busy):
        await conversions.start(sandboxes, "bob", seconds=0)
    assert conversions.running == [("ada", MOST)]
    conversions.end.set()
    assert await asyncio.gather(*tasks) == ["ada", "bob"]


async def test_a_file_that_waits_for_more_memory_occupies_no_sandbox(sandboxes: Sandboxes) -> None:
    conversions = Conversions("ada", "bob")
    tasks = [conversions.start(sandboxes, user) for user in ("ada", "bob", "eve", "dan")]
    await eventually(lambda: len(conversions.running) == 3)
    assert sorted(conversions.running) == [("ada", MOST), ("dan", USUAL_MEMORY_BYTES), ("eve", USUAL_MEMORY_BYTES)]
    conversions.end.set()
    assert await asyncio.gather(*tasks) == ["ada", "bob", "eve", "dan"]


async def test_the_time_that_a_request_may_wait_is_asked_for_before_each_wait(sandboxes: Sandboxes) -> None:
    conversions = Conversions("ada", "bob")
    first = conversions.start(sandboxes, "ada")
    await eventually(lambda: len(conversions.running) == 1)
    left = [60.0, 0.0]
    with pytest.raises(Busy):
        await sandboxes.run(b"file", "bob", lambda: left.pop(0), conversions.of("bob"))
    assert left == []
    conversions.end.set()
    await first


async def test_more_memory_is_granted_to_users_in_turn(sandboxes: Sandboxes) -> None:
    conversions = Conversions("ada", "bob", "eve")
    tasks = [conversions.start(sandboxes, "ada")]
    await eventually(lambda: len(conversions.running) == 1)
    for user in ("bob", "bob", "eve"):  # they ask for more memory in this order
        tasks.append(conversions.start(sandboxes, user))
        for _ in range(20):
            await asyncio.sleep(0)
    conversions.end.set()
    await asyncio.gather(*tasks)
    assert conversions.started == ["ada", "bob", "eve", "bob"]


async def test_a_file_in_more_memory_counts_as_a_sandbox_of_its_user(sandboxes: Sandboxes) -> None:
    large, usual = Conversions("ada"), Conversions()
    running = large.start(sandboxes, "ada")
    await eventually(lambda: len(large.running) == 1)
    usual.end.set()
    with pytest.raises(Busy):
        await usual.start(sandboxes, "ada", seconds=0)
    large.end.set()
    assert await running == "ada"
