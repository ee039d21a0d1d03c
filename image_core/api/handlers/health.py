"""`GET /api/health`: whether this works, and with `?deep=1` what of it does not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from image_core import __version__
from image_core.api.http import Request, Response, json_response
from image_core.clock import Clock
from image_core.errors import ImageError
from image_core.runtime.telemetry import where

log = logging.getLogger("image_core.health")

CACHED_SECONDS = 10.0
"""The deep look is open to everybody: however often it is asked for, the services are asked no more than this."""

PROBE_SECONDS = 5.0

Probe = Callable[[], Awaitable[Mapping[str, Any]]]
"""Looks at one dependency. Returns what else there is to tell; raises ImageError or TimeoutError where it is down."""


class HealthHandler:
    """`probes` by the name they are shown under."""

    def __init__(self, probes: Callable[[], Mapping[str, Probe]], clock: Clock) -> None:
        self._probes = probes
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen: tuple[float, dict[str, Any]] | None = None

    async def get(self, request: Request) -> Response:
        if request.query.get("deep") not in {"1", "true"}:
            return json_response(200, {"status": "ok", "version": __version__})
        async with self._looking:
            now = self._clock.monotonic()
            if self._seen is None or now - self._seen[0] >= CACHED_SECONDS:
                self._seen = (now, await self._look())
            seen = self._seen[1]
        states = {state["status"] for state in seen.values()}
        status = next((worst for worst in ("down", "degraded") if worst in states), "ok")
        body = {"status": status, "version": __version__, "dependencies": seen}
        return json_response(503 if status == "down" else 200, body)

    async def _look(self) -> dict[str, Any]:
        probes = self._probes()
        states = await asyncio.gather(*map(self._state, probes.values()))
        return dict(zip(probes, states, strict=True))

    async def _state(self, probe: Probe) -> dict[str, Any]:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                more = dict(await probe())
        except ImageError as error:
            more = {"status": "down", "code": error.code}
        except TimeoutError:
            more = {"status": "down", "code": "timeout"}
        except Exception as error:  # noqa: BLE001 - whatever a probe meets, the others are still answered
            log.error("a probe failed: %s", where(error))  # noqa: TRY400 - its message may hold a secret
            more = {"status": "down", "code": "internal"}
        return {"status": "ok", "latencyMs": round((self._clock.monotonic() - began) * 1000), **more}
