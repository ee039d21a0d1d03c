"""The original front end's calls: JSON without a key or a preference, and only `imageUrl` is read of a 2xx answer."""

from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from local.show import data_url
from tests.support.paths import ROOT

PHOTOGRAPH = ROOT / "local" / "samples" / "coffee.jpg"


@dataclass(frozen=True, slots=True)
class OriginalFrontEnd:
    """A page at `origin` whose browser has the session's cookie."""

    origin: str
    browser: requests.Session

    def generate(self, prompt: str, image: str | None = None) -> str:
        """Press the button once and return the `imageUrl` of a 2xx answer. Any other answer fails."""
        body = {"images": [image or data_url(PHOTOGRAPH)], "prompt": prompt}
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        answer = self.browser.post(f"{self.origin}/api/image", json=body, headers=headers, timeout=130)
        assert 200 <= answer.status_code < 300, f"{answer.status_code} {answer.text[:300]}"
        url: str = answer.json()["imageUrl"]
        return url

    def shown(self, url: str) -> bytes:
        """Return what `<img src>` loads, with at most 20 redirects and the cookie for the page's own origin only."""
        answer = self.browser.get(urljoin(self.origin, url), headers={"Sec-Fetch-Dest": "image"}, timeout=130)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
        assert answer.headers["Content-Type"].startswith("image/")
        assert len(answer.history) <= 20
        return answer.content

    def upload(self) -> str:
        """Store the photograph; its address."""
        files = {"file": ("100% My photo.jpg", PHOTOGRAPH.read_bytes(), "image/jpeg")}
        answer = self.browser.post(
            f"{self.origin}/api/upload", files=files, headers={"Origin": self.origin}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        url: str = answer.json()["url"]
        return url
