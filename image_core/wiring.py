"""Builds the product from its settings: once per process, each part when it is first needed.

What a health check does not need is not imported for it: the SDKs cost a second of a cold start.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from image_core.api.health import HealthResource, Probe
from image_core.api.http import Request, Response
from image_core.api.routes import Api
from image_core.clock import Clock
from image_core.errors import Misconfigured, StorageUnavailable
from image_core.preload import preload
from image_core.stop import on_stop_signal
from image_core.telemetry import invocation, log_outside_invocations, quiet_libraries

if TYPE_CHECKING:
    from image_core.api.budget import ResponseBudget
    from image_core.api.docs import DocsResource
    from image_core.api.generations import GenerationsResource
    from image_core.api.guard import Guard
    from image_core.api.image import ImageResource
    from image_core.api.images import ImagesResource
    from image_core.api.models import ModelsResource
    from image_core.api.upload import UploadResource
    from image_core.api.usage import UsageResource
    from image_core.generation.machinery import Machinery
    from image_core.inflight import InflightBytes
    from image_core.session import Sessions
    from image_core.settings import Settings

log = logging.getLogger("image_core.wiring")

PRELOAD_AFTER_SECONDS = 0.05
"""So long the first answer has to leave the process without anybody in its way."""


class App:
    """The product. `environment` is read at the first request, so that a wrong setting is an answer and not a dead host."""

    def __init__(self, environment: Mapping[str, str], clock: Clock | None = None) -> None:
        self._environment = environment
        self.clock = clock or Clock()
        self._api = Api(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._preloading = False
        quiet_libraries()

    async def handle(self, request: Request) -> Response:
        """Answer one HTTP request. Raises nothing."""
        with self._invocation():
            response = await self._api.handle(request)
        self._preload_soon()
        return response

    async def find_unfinished(self) -> list[str]:
        """What the recovery's timer puts into the queue."""
        with self._invocation():
            return await self.machinery.recovery.find()

    async def resume(self, message: bytes) -> None:
        """Run the generation of a queue message. Raises where the queue should give the message again."""
        with self._invocation():
            await self.machinery.recovery.resume(message)

    async def poisoned(self, message_id: str) -> None:
        """Log a message that the queue has given up."""
        with self._invocation():
            log.error("poison message %s", message_id)

    async def ledger(self, changed: Sequence[Mapping[str, Any]]) -> None:
        """Enter what records that changed say was billed; log those that have ended. Raises where the feed should deliver again."""
        from image_core.generation.log_line import log_ended  # noqa: PLC0415 - see the head of this file

        with self._invocation():
            await self.machinery.ledger.apply(changed)
            await log_ended(changed, self.machinery.pseudonyms, prompts=self.settings.log_prompts)

    def prepare_worker(self) -> None:
        """Set up a process that serves nothing but this application, in a Functions worker.

        Warnings that the host would drop go to standard output. On SIGTERM it gives its leases back and exits with 0.
        """
        log_outside_invocations()
        on_stop_signal(self._release, lambda: self._loop)

    @contextmanager
    def _invocation(self) -> Iterator[None]:
        """A call by the host, on the event loop that all of them run on."""
        self._loop = asyncio.get_running_loop()
        with invocation():
            yield

    def _preload_soon(self) -> None:
        """Behind the first answer, which a platform that starts processes is waiting for: after it people come."""
        if not self._preloading:
            self._preloading = True
            loop = asyncio.get_running_loop()
            loop.call_later(PRELOAD_AFTER_SECONDS, loop.run_in_executor, None, preload)

    async def _release(self) -> int:
        built = self.__dict__.get("machinery")
        return 0 if built is None else await built.runner.release_all()

    async def close(self) -> None:
        """Wait for what runs, then close every connection: for a host that has a last moment, and for tests."""
        for name in ("machinery", "sessions"):
            built = self.__dict__.get(name)
            if built is not None:
                await built.close()

    @cached_property
    def settings(self) -> "Settings":
        from image_core.settings import Settings, SettingsError  # noqa: PLC0415 - see the head of this file

        try:
            return Settings.read(self._environment)
        except SettingsError as error:
            raise Misconfigured(str(error)) from error

    @cached_property
    def inflight(self) -> "InflightBytes":
        from image_core.inflight import InflightBytes  # noqa: PLC0415 - see the head of this file
        from image_core.offload import shorten_thread_turns  # noqa: PLC0415 - the same
        from image_core.runtime.allocator import return_large_blocks  # noqa: PLC0415 - the same

        return_large_blocks()
        shorten_thread_turns()
        return InflightBytes(self.settings.max_inflight_bytes)

    @cached_property
    def guard(self) -> "Guard":
        from image_core.api.guard import Guard  # noqa: PLC0415 - see the head of this file

        return Guard(self.settings)

    @cached_property
    def budget(self) -> "ResponseBudget":
        from image_core.api.budget import ResponseBudget  # noqa: PLC0415 - see the head of this file

        return ResponseBudget(self.settings, self.clock)

    @cached_property
    def sessions(self) -> "Sessions":
        from image_core.session import Sessions  # noqa: PLC0415 - see the head of this file

        return Sessions(self.settings, self.clock)

    @cached_property
    def machinery(self) -> "Machinery":
        from image_core.generation.machinery import Machinery  # noqa: PLC0415 - see the head of this file

        return Machinery(self.settings, self.clock, self.inflight)

    @cached_property
    def image(self) -> "ImageResource":
        from image_core.api.image import ImageResource  # noqa: PLC0415 - see the head of this file

        parts = self.machinery
        return ImageResource(
            parts.submission, parts.reading, parts.expected, parts.inflight, self.settings, self.budget
        )

    @cached_property
    def upload(self) -> "UploadResource":
        from image_core.api.upload import UploadResource  # noqa: PLC0415 - see the head of this file

        parts = self.machinery
        return UploadResource(parts.loader, parts.pictures, self.inflight, self.settings, self.budget, self.clock)

    @cached_property
    def generations(self) -> "GenerationsResource":
        from image_core.api.generations import GenerationsResource  # noqa: PLC0415 - see the head of this file

        parts = self.machinery
        return GenerationsResource(
            parts.history, parts.cancellation, parts.reading, parts.running, self.inflight, self.budget
        )

    @cached_property
    def images(self) -> "ImagesResource":
        from image_core.api.images import ImagesResource  # noqa: PLC0415 - see the head of this file

        parts = self.machinery
        return ImagesResource(parts.reading, parts.rendering, parts.history, parts.running, self.inflight, self.budget)

    @cached_property
    def usage(self) -> "UsageResource":
        from image_core.api.usage import UsageResource  # noqa: PLC0415 - see the head of this file

        return UsageResource(self.machinery.spending)

    @cached_property
    def models(self) -> "ModelsResource":
        from image_core.api.models import ModelsResource  # noqa: PLC0415 - see the head of this file

        return ModelsResource(self.machinery.model, self.machinery.expected, self.settings)

    @cached_property
    def health(self) -> HealthResource:
        return HealthResource(self._probes, self.clock)

    @cached_property
    def docs(self) -> "DocsResource":
        from image_core.api.docs import DocsResource  # noqa: PLC0415 - see the head of this file

        return DocsResource(self.settings, self.clock)

    def _probes(self) -> Mapping[str, Probe]:
        return {"database": self._database, "storage": self._storage, "model": self._model, "session": self._session}

    async def _database(self) -> Mapping[str, Any]:
        return _existing(await self.machinery.cosmos.probe())

    async def _storage(self) -> Mapping[str, Any]:
        return _existing(await self.machinery.blobs.probe())

    async def _session(self) -> Mapping[str, Any]:
        # Building it is the probe: it raises where there is no secret that could verify anything.
        return {"mode": self.settings.nextauth_jwt} if self.sessions else {}

    async def _model(self) -> Mapping[str, Any]:
        return await self.machinery.model_health()


def _existing(containers: Mapping[str, str]) -> Mapping[str, Any]:
    """A probe's result: down where a container is missing, with the state of each."""
    if all(state == "ok" for state in containers.values()):
        return {"containers": containers}
    return {"status": "down", "code": StorageUnavailable.code, "containers": containers}
