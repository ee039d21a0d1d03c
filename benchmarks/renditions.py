"""A rendition that has to be made and one that is there, beside the image itself and beside libvips' own thumbnailer."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from statistics import median

from benchmarks import pictures, programs
from benchmarks.table import Row, Worthless
from image_core.api.http import Request, Response
from image_core.app import App

PAGE = 12
"""Images of one page of a history."""

THUMBNAILER = "vipsthumbnail"
"""Debian's `libvips-tools`."""


async def _page(app: App, around: programs.Services) -> tuple[dict[str, list[float]], dict[str, int], bytes]:
    """Milliseconds of each request by kind, bytes of a page by kind, and one of the images."""
    headers = {"content-type": "application/json", "cookie": around.cookie(1)}

    async def call(method: str, path: str, query: dict[str, str], body: bytes = b"") -> tuple[Response, float]:
        began = time.perf_counter()
        answer = await app.handle(Request(method, path, query, headers, body))
        if answer.status != HTTPStatus.OK:
            raise Worthless(answer.body.decode())
        return answer, (time.perf_counter() - began) * 1000

    body = pictures.request(pictures.data_url(pictures.photograph(1), "image/jpeg"), includeBase64=False)
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
    """Milliseconds of libvips' thumbnailer for one image."""
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
    """The table's lines: medians of all requests."""
    times: dict[str, list[float]] = {}
    with programs.services() as around:
        for _ in range(rounds):
            found, sizes, image = asyncio.run(_page(App(around.configuration.environment), around))
            for kind, took in found.items():
                times.setdefault(kind, []).extend(took)
    cold, warm, whole = (median(times[kind]) for kind in ("cold", "warm", "image"))
    made = [
        Row("a page of 12: the images", sizes["image"] / 1000, "kB"),
        Row("a page of 12: their thumbnails", sizes["warm"] / 1000, "kB", sizes["image"] / 1000 / 10),
        Row("an image", whole, "ms"),
        Row("a rendition that is there", warm, "ms"),
        Row("a rendition that is there / an image", warm / whole, "x", 1.2),
        Row("a rendition that has to be made", cold, "ms"),
    ]
    if shutil.which(THUMBNAILER) is None:
        print(
            f"{THUMBNAILER} is not on PATH (apt-get install libvips-tools): no floor for a rendition that has to be made"
        )
        return made
    return [*made, Row(f"{THUMBNAILER}: floor of a rendition that has to be made", _floor(image, rounds), "ms")]
