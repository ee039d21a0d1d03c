"""Storage over blobs in memory."""

import pytest

from image_core.auth.user import User
from image_core.storage.images import StoredImages
from image_core.storage.naming import Locations
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.clock import FakeClock

IMAGES, PRIVATE = "images", "private"
ACCOUNT = "https://account.example"


@pytest.fixture
def ada() -> User:
    return User("ada@example.com")


@pytest.fixture
def bob() -> User:
    return User("bob@example.com")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def blobs(clock: FakeClock) -> FakeBlobs:
    return FakeBlobs(IMAGES, PRIVATE, clock=clock.clock)


@pytest.fixture(params=[False, True], ids=["public", "private"])
def locations(request: pytest.FixtureRequest) -> Locations:
    private: bool = request.param
    return Locations(ACCOUNT, IMAGES, PRIVATE, private=private)


@pytest.fixture
def earlier(locations: Locations) -> Locations:
    """Return the locations before `IMAGE_ACCESS` changed."""
    return Locations(ACCOUNT, IMAGES, PRIVATE, private=not locations.private)


@pytest.fixture
def pseudonyms(blobs: FakeBlobs) -> Pseudonyms:
    return Pseudonyms(blobs, PRIVATE, lambda count: b"k" * count)


@pytest.fixture
def renditions(blobs: FakeBlobs) -> Renditions:
    return Renditions(blobs, PRIVATE)


@pytest.fixture
def turns(blobs: FakeBlobs) -> Turns:
    return Turns(blobs, PRIVATE)


@pytest.fixture
def images(
    blobs: FakeBlobs, locations: Locations, pseudonyms: Pseudonyms, renditions: Renditions, turns: Turns
) -> StoredImages:
    return StoredImages(blobs, locations, pseudonyms, renditions, turns)


@pytest.fixture
def images_earlier(
    blobs: FakeBlobs, earlier: Locations, pseudonyms: Pseudonyms, renditions: Renditions, turns: Turns
) -> StoredImages:
    """Return the images of an instance with the other `IMAGE_ACCESS`."""
    return StoredImages(blobs, earlier, pseudonyms, renditions, turns)
