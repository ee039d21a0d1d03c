"""One user's files, servers and names delay no other user, and memory is released only after the work has ended."""

import asyncio
import gc
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Busy, InvalidImage
from image_core.images.fault import Fault
from image_core.images.image import Image
from image_core.inputs.fetcher import Fetcher, FetchPolicy
from image_core.inputs.loader import Loader
from image_core.inputs.resolver import BoundedResolver, lookup_user
from image_core.inputs.sources import MAX_HEAD_CHARACTERS, Inline, parse
from image_core.runtime.memory_budget import MemoryBudget
from image_core.runtime.offload import in_thread
from image_core.settings import Settings
from tests.support.eventually import eventually
from tests.support.harness import data_url, sample_image
from tests.support.image_files import unusual_image
from tests.support.input_loaders import make_loader
from tests.support.owned_images import OWN, FakeOwnImages

ADA, BOB, EVE = User("ada@example.com"), User("bob@example.com"), User("eve@example.com")
TO_CONVERT = data_url(unusual_image("photo.bmp"), "image/bmp")
AS_IT_IS = data_url(sample_image("cat.png"))


class Sandboxes:
    """Conversions that end when `end` is set."""

    def __init__(self) -> None:
        self.started = 0
        self.running = 0
        self.maximum = 0
        self.end = asyncio.Event()

    async def convert(self, data: bytes, max_pixels: int, max_decoded_pixels: int, memory_bytes: int) -> Image:
        self.started += 1
        self.running += 1
        self.maximum = max(self.maximum, self.running)
        try:
            await self.end.wait()
        finally:
            self.running -= 1
        return Image(data, "image/png", max_pixels, max_decoded_pixels)


@pytest.fixture
async def sandboxes() -> Sandboxes:
    return Sandboxes()


@pytest.fixture
async def loader(sandboxes: Sandboxes) -> AsyncIterator[Loader]:
    made = make_loader(OWN, FakeOwnImages(), convert=sandboxes.convert)
    yield made
    await made.close()


def loading(loader: Loader, user: User, *images: str, seconds: float = 60) -> asyncio.Task[Any]:
    claim = MemoryBudget(10**9).claim(user.id, Clock().deadline(seconds))
    return asyncio.create_task(loader.load_all(images, user, claim))


async def test_conversions_of_two_users_leave_a_sandbox_for_a_third(loader: Loader, sandboxes: Sandboxes) -> None:
    many = [f"{TO_CONVERT}{'A' * 4 * number}" for number in range(6)]
    attackers = [loading(loader, user, *many) for user in (ADA, BOB) for _ in range(2)]
    await eventually(lambda: sandboxes.running == 2)
    victim = loading(loader, EVE, TO_CONVERT)
    await eventually(lambda: sandboxes.running == 3)
    assert sandboxes.maximum == 3
    sandboxes.end.set()
    await asyncio.gather(victim, *attackers)


async def test_image_without_conversion_does_not_wait_for_conversions(loader: Loader, sandboxes: Sandboxes) -> None:
    busy = [loading(loader, user, TO_CONVERT) for user in (ADA, BOB, EVE)]
    await eventually(lambda: sandboxes.running == 3)
    async with asyncio.timeout(20):
        (loaded,) = await loading(loader, ADA, AS_IT_IS)
    assert loaded.image.mime_type == "image/png"
    sandboxes.end.set()
    await asyncio.gather(*busy)


async def test_conversion_waits_no_longer_than_its_request(loader: Loader, sandboxes: Sandboxes) -> None:
    first = loading(loader, ADA, TO_CONVERT)
    await eventually(lambda: sandboxes.running == 1)
    with pytest.raises(Busy) as busy:
        await loading(loader, ADA, TO_CONVERT, seconds=0.01)
    assert busy.value.retry_after
    sandboxes.end.set()
    await first


async def test_failed_request_ends_its_conversions_before_its_memory_is_released(
    loader: Loader, sandboxes: Sandboxes
) -> None:
    with pytest.raises(InvalidImage):
        await loading(loader, ADA, TO_CONVERT, "bm8gaW1hZ2U=")
    assert sandboxes.running == 0
    again = loading(loader, ADA, TO_CONVERT)
    await eventually(lambda: sandboxes.running == 1)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    assert sandboxes.running == 0


async def test_canceled_call_in_a_thread_ends_with_the_thread() -> None:
    began, released = threading.Event(), threading.Event()
    ended: list[bool] = []

    def work() -> None:
        began.set()
        released.wait(20)
        ended.append(True)

    calling = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(began.wait, 20)
    for _ in range(3):
        calling.cancel()
        await asyncio.sleep(0)
    assert not calling.done()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended == [True]


# --- DNS


class Names:
    """A `getaddrinfo` that answers for names with `slow` when `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.answer.wait(30)
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.7", port))]


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    made = Names()
    yield made
    made.answer.set()


def resolving(resolver: BoundedResolver, user: User, host: str) -> asyncio.Task[Any]:
    async def resolve() -> Any:
        lookup_user.set(user.id)
        return await resolver.resolve(host, 443)

    return asyncio.create_task(resolve())


async def test_unanswered_names_leave_threads_for_other_users_and_other_work(names: Names) -> None:
    resolver = BoundedResolver(names, threads=8, seconds=30)
    stuck = [resolving(resolver, user, f"slow{number}") for user in (ADA, BOB) for number in range(20)]
    await eventually(lambda: len(names.asked) == 6)  # four of the first user, two of the second
    (found,) = await resolving(resolver, EVE, "quick.example.com")
    assert (found["host"], found["port"], found["hostname"]) == ("203.0.113.7", 443, "quick.example.com")
    assert await asyncio.to_thread(lambda: 1) == 1  # the event loop's thread pool is not used
    names.answer.set()
    await asyncio.gather(*stuck)
    await resolver.close()


async def test_lookup_that_takes_too_long_fails_and_keeps_its_thread_until_it_ends(names: Names) -> None:
    resolver = BoundedResolver(names, threads=2, seconds=0.05)
    with pytest.raises(OSError, match="no answer from DNS"):
        await resolving(resolver, ADA, "slow")
    with pytest.raises(OSError, match="no thread"):
        await resolving(resolver, ADA, "quick")
    assert names.asked == ["slow"]
    names.answer.set()
    await eventually(lambda: resolver.idle)
    assert await resolving(resolver, ADA, "quick")
    with pytest.raises(OSError, match="no such name"):
        await resolving(resolver, ADA, "unknown")
    await resolver.close()


async def test_fetch_resolves_names_for_its_user(names: Names) -> None:
    users: list[str] = []

    class Recording(BoundedResolver):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> Any:
            users.append(lookup_user.get())
            raise OSError("no such name")

    fetcher = Fetcher(FetchPolicy.of(Settings.read({})), Recording(names))
    for user in (ADA, BOB):
        with pytest.raises(Fault):
            await fetcher.fetch("http://images.example.com/", MemoryBudget(10**9).claim(user.id))
    assert users == [ADA.id, BOB.id]
    await fetcher.close()


# --- data URLs

CHARACTERS = 1_000_000
LARGE: list[tuple[str, str]] = [
    ("percent signs", "data:image/png;base64," + "%" * CHARACTERS),
    ("escapes in base64", "data:image/png;base64," + "%41" * CHARACTERS),
    ("escapes that base64 needs", "data:image/png;base64," + "%2B" * CHARACTERS),
    ("escapes without base64", "data:image/png," + "%89" * CHARACTERS),
    ("percent signs without base64", "data:image/png," + "%" * CHARACTERS),
    ("equals signs without base64", "data:image/png," + "=" * CHARACTERS),
    ("semicolons", "data:image/png" + ";" * CHARACTERS + "base64,aGk="),
    ("a header without a comma", "data:" + "a" * CHARACTERS),
    ("commas", "data:" + "," * CHARACTERS),
    ("spaces", " " * CHARACTERS),
    ("line breaks", "data:image/png;base64," + "\n" * CHARACTERS),
    ("padding", "=" * CHARACTERS),
    ("a scheme without an end", "a" * CHARACTERS),
    ("another scheme without an end", "a+" * CHARACTERS),
]


@pytest.mark.parametrize("text", [row[1] for row in LARGE], ids=[row[0] for row in LARGE])
def test_memory_of_parsing_is_proportional_to_the_text(text: str) -> None:
    gc.collect()
    tracemalloc.start()
    try:
        source = parse(text)
        if isinstance(source, Inline):
            source.decode()
    except Fault:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 4 * len(text) + 5_000_000


def test_header_of_a_data_url_is_bounded() -> None:
    head = "image/png;" + "x=y;" * 200
    assert isinstance(parse(f"data:{head}base64,aGk="), Inline)
    with pytest.raises(Fault) as refused:
        parse(f"data:image/png;{'x=y;' * MAX_HEAD_CHARACTERS}base64,aGk=")
    assert "no comma in its first" in str(refused.value.details)


@given(st.binary(max_size=400), st.integers(1, 40))
def test_percent_decoding_gives_the_same_bytes_in_pieces_of_any_size(data: bytes, size: int) -> None:
    from urllib.parse import quote_from_bytes  # noqa: PLC0415 - used by this test only

    from image_core.inputs.sources import percent_decoded  # noqa: PLC0415 - used by this test only

    assert percent_decoded(quote_from_bytes(data, safe="=").encode(), size) == data


async def test_loading_ends_at_the_deadline_of_the_request(loader: Loader, sandboxes: Sandboxes) -> None:
    claim = MemoryBudget(10**9).claim(ADA.id, Clock().deadline(0.2))
    with pytest.raises(Busy):
        await loader.load_all([AS_IT_IS, TO_CONVERT], ADA, claim)
    assert (sandboxes.started, sandboxes.running) == (1, 0)
    with pytest.raises(Busy):
        await loader.load_upload(unusual_image("photo.bmp"), MemoryBudget(10**9).claim(ADA.id, Clock().deadline(0.2)))
    assert (sandboxes.started, sandboxes.running) == (2, 0)
