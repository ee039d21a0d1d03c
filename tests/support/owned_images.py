"""Owned URLs and an in-memory store of the images behind them."""

from image_core.auth.user import User
from image_core.inputs.owned_urls import OwnBlob, OwnedUrls, OwnResult, missing
from image_core.storage.blobs import Reserve

ACCOUNT = "https://acct.blob.core.windows.net"
OWN = OwnedUrls(ACCOUNT, "catafract", "catafract-private", private=False, site_origins=("https://app.example.com",))
PRIVATE = OwnedUrls(ACCOUNT, "catafract", "catafract-private", private=True, site_origins=("https://app.example.com",))


class FakeOwnImages:
    """Owned images by container and path. `asked` are the reads."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []

    async def read_input(self, user: User, own: OwnBlob | OwnResult, max_bytes: int, reserve: Reserve) -> bytes:
        """Return an image, and reserve memory for it."""
        for place in own.places if isinstance(own, OwnBlob) else ():
            self.asked.append((place.container, place.path))
            if (place.container, place.path) in self.blobs:
                data = self.blobs[place.container, place.path]
                await reserve(len(data))
                return data
        raise missing()
