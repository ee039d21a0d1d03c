"""Time and size of thumbnails: a page of 12 images of a history, each fetched as an image and as a rendition of 320 px.

- Bytes of the page. Floor: the images themselves. Goal: a tenth.
- A stored rendition. Floor: fetching the image, over the same way. Goal: 1.2 times.
- A rendition that has to be made. Floor: `vipsthumbnail` as a process of its own, if it is installed. No goal: the
  product decodes in a sandbox and stores the result.

Figures are medians of all requests.
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from statistics import median

from benchmarks import images, programs
from benchmarks.table import InvalidMeasurement, Row
from image_core.api.http import Request, Response
from image_core.app import Application

PAGE = 12
"""Number of images on a page."""

THUMBNAILER = "vipsthumbnail"
"""A program in Debian's package `libvips-tools`."""


async def _page(app: Application, around: programs.Services) -> tuple[dict[str, list[float]], dict[str, int], bytes]:
    """Return the milliseconds of each request by kind, the bytes of the page by kind, and one of the images."""
    headers = {"content-type": "application/json", "cookie": around.cookie(1)}

    async def call(method: str, path: str, query: dict[str, str], body: bytes = b"") -> tuple[Response, float]:
        began = time.perf_counter()
        answer = await app.handle(Request(method, path, query, headers, body))
        if answer.status != HTTPStatus.OK:
            raise InvalidMeasurement(answer.body.decode())
        return answer, (time.perf_counter() - began) * 1000

    body = images.request(images.data_url(images.photograph(1), "image/jpeg"), includeBase64=False)
    names = []
    for _ in range(PAGE):
        answer, _ = await call("POST", "image", {}, body)
        names.append(json.loads(answer.body)["imageUrl"].rsplit("/", 1)[-1])
    times: dict[str, list[float]] = {"image": [], "cold": [], "warm": []}
    sizes = {"image": 0, "warm": 0}
    one = b""
    for name in names:
        for kind, query in (("image", {}), ("cold", {"w": "320"}), ("warm", {"w": "320"})):
            answer, took = await call("GET", f"images/{name}", query)
            times[kind].append(took)
            if kind in sizes:
                sizes[kind] += len(answer.body)
            one = answer.body if kind == "image" else one
    await app.close()
    return times, sizes, one


def _floor(image: bytes, rounds: int) -> float:
    """Return the median milliseconds of vipsthumbnail for one image."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "image"
        source.write_bytes(image)
        command = (THUMBNAILER, str(source), "--size", "320x", "-o", f"{folder}/out.webp[Q=80]")
        for _ in range(rounds * 3):
            began = time.perf_counter()
            subprocess.run(command, check=True, timeout=60)  # noqa: S603 - a fixed command
            took.append((time.perf_counter() - began) * 1000)
    return median(took)


def rows(rounds: int) -> list[Row]:
    """Return the medians of all requests."""
    times: dict[str, list[float]] = {}
    with programs.services() as around:
        for _ in range(rounds):
            found, sizes, image = asyncio.run(_page(Application(around.configuration.environment), around))
            for kind, took in found.items():
                times.setdefault(kind, []).extend(took)
    cold, warm, whole = (median(times[kind]) for kind in ("cold", "warm", "image"))
    made = [
        Row("a page of 12: the images", sizes["image"] / 1000, "kB"),
        Row("a page of 12: their thumbnails", sizes["warm"] / 1000, "kB", sizes["image"] / 1000 / 10),
        Row("an image", whole, "ms"),
        Row("a stored rendition", warm, "ms"),
        Row("a stored rendition / an image", warm / whole, "x", 1.2),
        Row("a rendition that has to be made", cold, "ms"),
    ]
    if shutil.which(THUMBNAILER) is None:
        print(f"{THUMBNAILER} is not on PATH, so one row has no floor: apt-get install libvips-tools")
        return made
    return [*made, Row(f"a rendition that has to be made: floor ({THUMBNAILER})", _floor(image, rounds), "ms")]
