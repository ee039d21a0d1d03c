"""`GET /api/health`: whether the API works, and with `?deep=1` which of its dependencies do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from image_core import __version__
from image_core.api.http import Request, Response, json_response
from image_core.clock import Clock
from image_core.errors import ImageError
from image_core.runtime.telemetry import where

if TYPE_CHECKING:
    from image_core.api.wire.health import Dependency

log = logging.getLogger("image_core.health")

CACHED_SECONDS = 10.0
"""How long the states are kept. The deep check needs no session: however often it is requested, the services are probed
no more often than this."""

PROBE_SECONDS = 5.0
"""The longest that one probe may take."""

Probe = Callable[[], Awaitable[Mapping[str, Any]]]
"""Checks one dependency. Returns the fields to add to its state; raises ImageError or TimeoutError where it is down."""


class GetHealth:
    """Answers health checks. `probes` returns one probe for each dependency, by the name that the answer gives it."""

    def __init__(self, probes: Callable[[], Mapping[str, Probe]], clock: Clock) -> None:
        self._probes = probes
        self._clock = clock
        self._checking = asyncio.Lock()
        self._checked: tuple[float, dict[str, Dependency]] | None = None

    async def handle(self, request: Request) -> Response:
        """Return the version, and with `deep=1` the state of each dependency: 503 where one is down."""
        if request.query.get("deep") not in {"1", "true"}:
            # Of the form of `Health`, without pydantic: this is the first request of a new process.
            return json_response(200, {"status": "ok", "version": __version__})
        from image_core.api.wire.health import Health  # noqa: PLC0415 - see above

        async with self._checking:
            now = self._clock.monotonic()
            if self._checked is None or now - self._checked[0] >= CACHED_SECONDS:
                self._checked = (now, await self._check())
            dependencies = self._checked[1]
        states = {dependency.status for dependency in dependencies.values()}
        status: Literal["ok", "degraded", "down"] = (
            "down" if "down" in states else "degraded" if "degraded" in states else "ok"
        )
        body = Health(status=status, version=__version__, dependencies=dependencies)
        return json_response(503 if status == "down" else 200, body.to_wire())

    async def _check(self) -> "dict[str, Dependency]":
        probes = self._probes()
        states = await asyncio.gather(*map(self._state, probes.values()))
        return dict(zip(probes, states, strict=True))

    async def _state(self, probe: Probe) -> "Dependency":
        from image_core.api.wire.health import Dependency  # noqa: PLC0415 - see `handle`

        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                fields = dict(await probe())
        except ImageError as error:
            fields = {"status": "down", "code": error.code}
        except TimeoutError:
            fields = {"status": "down", "code": "timeout"}
        except Exception as error:  # noqa: BLE001 - a probe that breaks must not break the answer about the others
            log.error("a probe failed: %s", where(error))  # noqa: TRY400 - its message may hold a secret
            fields = {"status": "down", "code": "internal"}
        latency = round((self._clock.monotonic() - began) * 1000)
        return Dependency.model_validate({"status": "ok", "latencyMs": latency, **fields})
