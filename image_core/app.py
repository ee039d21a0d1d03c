"""Builds the product from its settings: once per process, each part when it is first needed.

What a health check does not need is not imported for it: the SDKs cost a second of a cold start.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from image_core.api.handlers.health import HealthHandler, Probe
from image_core.api.http import Request, Response
from image_core.api.router import Api
from image_core.clock import Clock
from image_core.errors import Misconfigured, StorageUnavailable
from image_core.runtime.preload import preload
from image_core.runtime.shutdown import on_shutdown_signal
from image_core.runtime.telemetry import invocation, log_outside_invocations, quiet_libraries

if TYPE_CHECKING:
    from image_core.api.handlers.docs import DocsHandler
    from image_core.api.handlers.generations import GenerationsHandler
    from image_core.api.handlers.image import ImageHandler
    from image_core.api.handlers.images import ImagesHandler
    from image_core.api.handlers.models import ModelsHandler
    from image_core.api.handlers.upload import UploadHandler
    from image_core.api.handlers.usage import UsageHandler
    from image_core.api.origin import OriginPolicy
    from image_core.api.response_budget import ResponseBudget
    from image_core.auth.sessions import Sessions
    from image_core.components import Components
    from image_core.runtime.memory_budget import MemoryBudget
    from image_core.settings import Settings

log = logging.getLogger("image_core.app")

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
            return await self.components.recovery.find()

    async def resume(self, message: bytes) -> None:
        """Run the generation of a queue message. Raises where the queue should give the message again."""
        with self._invocation():
            await self.components.recovery.resume(message)

    async def poisoned(self, message_id: str) -> None:
        """Log a message that the queue has given up."""
        with self._invocation():
            log.error("poison message %s", message_id)

    async def ledger(self, changed: Sequence[Mapping[str, Any]]) -> None:
        """Enter what records that changed say was billed; log those that have ended. Raises where the feed should deliver again."""
        from image_core.generations.ledger_entries import delivered_entries  # noqa: PLC0415 - see the head of this file
        from image_core.generations.log_line import log_ended  # noqa: PLC0415 - see the head of this file

        with self._invocation():
            await self.components.ledger.enter_delivered(delivered_entries(changed))
            await log_ended(changed, self.components.pseudonyms, prompts=self.settings.log_prompts)

    def prepare_worker(self) -> None:
        """Set up a process that serves nothing but this application, in a Functions worker.

        Warnings that the host would drop go to standard output. On SIGTERM it gives its leases back and exits with 0.
        """
        log_outside_invocations()
        on_shutdown_signal(self._release, lambda: self._loop)

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
        built = self.__dict__.get("components")
        return 0 if built is None else await built.leases.release_all()

    async def close(self) -> None:
        """Wait for what runs, then close every connection: for a host that has a last moment, and for tests."""
        for name in ("components", "sessions"):
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
    def memory_budget(self) -> "MemoryBudget":
        from image_core.runtime.allocator import return_large_blocks  # noqa: PLC0415 - the same
        from image_core.runtime.memory_budget import MemoryBudget  # noqa: PLC0415 - see the head of this file
        from image_core.runtime.offload import shorten_thread_turns  # noqa: PLC0415 - the same

        return_large_blocks()
        shorten_thread_turns()
        return MemoryBudget(self.settings.max_inflight_bytes)

    @cached_property
    def guard(self) -> "OriginPolicy":
        from image_core.api.origin import OriginPolicy  # noqa: PLC0415 - see the head of this file

        return OriginPolicy(self.settings)

    @cached_property
    def budget(self) -> "ResponseBudget":
        from image_core.api.response_budget import ResponseBudget  # noqa: PLC0415 - see the head of this file

        return ResponseBudget(self.settings, self.clock)

    @cached_property
    def sessions(self) -> "Sessions":
        from image_core.auth.sessions import sessions_from  # noqa: PLC0415 - see the head of this file

        return sessions_from(self.settings, self.clock)

    @cached_property
    def components(self) -> "Components":
        from image_core.components import Components  # noqa: PLC0415 - see the head of this file

        return Components(self.settings, self.clock, self.memory_budget)

    @cached_property
    def image(self) -> "ImageHandler":
        from image_core.api.handlers.image import ImageHandler  # noqa: PLC0415 - see the head of this file

        parts = self.components
        return ImageHandler(
            parts.submission, parts.reading, parts.durations, parts.memory_budget, self.settings, self.budget
        )

    @cached_property
    def upload(self) -> "UploadHandler":
        from image_core.api.handlers.upload import UploadHandler  # noqa: PLC0415 - see the head of this file

        parts = self.components
        return UploadHandler(parts.loader, parts.pictures, self.memory_budget, self.settings, self.budget, self.clock)

    @cached_property
    def generations(self) -> "GenerationsHandler":
        from image_core.api.handlers.generations import GenerationsHandler  # noqa: PLC0415 - see the head of this file

        parts = self.components
        return GenerationsHandler(
            parts.history, parts.cancellation, parts.reading, parts.background, self.memory_budget, self.budget
        )

    @cached_property
    def images(self) -> "ImagesHandler":
        from image_core.api.handlers.images import ImagesHandler  # noqa: PLC0415 - see the head of this file

        parts = self.components
        return ImagesHandler(
            parts.reading, parts.rendering, parts.history, parts.background, self.memory_budget, self.budget
        )

    @cached_property
    def usage(self) -> "UsageHandler":
        from image_core.api.handlers.usage import UsageHandler  # noqa: PLC0415 - see the head of this file

        return UsageHandler(self.components.spending)

    @cached_property
    def models(self) -> "ModelsHandler":
        from image_core.api.handlers.models import ModelsHandler  # noqa: PLC0415 - see the head of this file

        return ModelsHandler(self.components.model, self.components.durations, self.settings)

    @cached_property
    def health(self) -> HealthHandler:
        return HealthHandler(self._probes, self.clock)

    @cached_property
    def docs(self) -> "DocsHandler":
        from image_core.api.handlers.docs import DocsHandler  # noqa: PLC0415 - see the head of this file

        return DocsHandler(self.settings, self.clock)

    def _probes(self) -> Mapping[str, Probe]:
        return {"database": self._database, "storage": self._storage, "model": self._model, "session": self._session}

    async def _database(self) -> Mapping[str, Any]:
        return _existing(await self.components.probe_database())

    async def _storage(self) -> Mapping[str, Any]:
        return _existing(await self.components.probe_storage())

    async def _session(self) -> Mapping[str, Any]:
        # Building it is the probe: it raises where there is no secret that could verify anything.
        return {"mode": self.settings.nextauth_jwt} if self.sessions else {}

    async def _model(self) -> Mapping[str, Any]:
        return await self.components.model_health()


def _existing(containers: Mapping[str, str]) -> Mapping[str, Any]:
    """A probe's result: down where a container is missing, with the state of each."""
    if all(state == "ok" for state in containers.values()):
        return {"containers": containers}
    return {"status": "down", "code": StorageUnavailable.code, "containers": containers}
