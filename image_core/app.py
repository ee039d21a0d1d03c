"""The composition root: build the application from its settings, once per process, each part when it is first needed.

A health check must not import the SDKs, which take a second of a cold start. So imports are inside the functions here,
and `components` builds the parts that need the SDKs.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from image_core.api.dispatch import Api
from image_core.api.handlers.health import GetHealth, Probe
from image_core.api.http import Request, Response
from image_core.clock import Clock
from image_core.errors import Misconfigured, StorageUnavailable
from image_core.runtime.shutdown import on_shutdown_signal
from image_core.runtime.telemetry import invocation, log_outside_invocations, quiet_libraries

if TYPE_CHECKING:
    from image_core.api.handlers.docs import Documentation, GetDocument, GetPage
    from image_core.api.handlers.generate import GenerateImage
    from image_core.api.handlers.generations import (
        CancelGeneration,
        DeleteGeneration,
        GetGeneration,
        ListGenerations,
    )
    from image_core.api.handlers.images import DeleteUpload, GetImage
    from image_core.api.handlers.models import ListModels
    from image_core.api.handlers.upload import UploadImage
    from image_core.api.handlers.usage import GetUsage
    from image_core.api.origin import OriginPolicy
    from image_core.api.response_budget import ResponseBudget
    from image_core.auth.sessions import Sessions
    from image_core.components import Components
    from image_core.runtime.memory_budget import MemoryBudget
    from image_core.settings import Settings

log = logging.getLogger("image_core.app")

PRELOAD_AFTER_SECONDS = 0.05
"""Seconds after the first response until modules are preloaded, so that it is sent without delay."""


class Application:
    """The application.

    `environment` is read at the first request: a wrong setting leads to an error response, not to a crash.
    """

    def __init__(self, environment: Mapping[str, str], clock: Clock | None = None) -> None:
        self._environment = environment
        self.clock = clock or Clock()
        self._api = Api(self)
        self._components: Components | None = None
        self._sessions: Sessions | None = None
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
        """Return the messages that the recovery's timer puts into the queue."""
        with self._invocation():
            return await self.components.recovery.find()

    async def resume(self, message: bytes) -> None:
        """Run the generation of a queue message. Raises where the queue should deliver the message again."""
        with self._invocation():
            await self.components.recovery.resume(message)

    async def poisoned(self, message_id: str) -> None:
        """Log a message that the queue does not deliver again."""
        with self._invocation():
            log.error("poison message %s", message_id)

    async def process_changes(self, changed: Sequence[Mapping[str, Any]]) -> None:
        """Enter the billed calls of changed records into the ledger, and log the records that have ended.

        Raises where the change feed should deliver the records again.
        """
        from image_core.generations.ledger_entries import delivered_entries  # noqa: PLC0415 - see the module's docstring
        from image_core.generations.log_line import log_ended  # noqa: PLC0415 - see the module's docstring

        with self._invocation():
            await self.components.ledger.enter_delivered(delivered_entries(changed))
            await log_ended(changed, self.components.pseudonyms, prompts=self.settings.log_prompts)

    def prepare_worker(self) -> None:
        """Set up a Functions worker process that serves only this application.

        Warnings that the host would drop go to standard output. On SIGTERM the leases are released and the exit code is
        0.
        """
        log_outside_invocations()
        on_shutdown_signal(self._release, lambda: self._loop)

    @contextmanager
    def _invocation(self) -> Iterator[None]:
        """Mark a call by the host. All calls run on the same event loop."""
        self._loop = asyncio.get_running_loop()
        with invocation():
            yield

    def _preload_soon(self) -> None:
        """Preload modules after the first response, which a platform waits for when it starts a process."""
        if not self._preloading:
            self._preloading = True
            loop = asyncio.get_running_loop()
            loop.call_later(PRELOAD_AFTER_SECONDS, loop.run_in_executor, None, _preload)

    async def _release(self) -> int:
        return 0 if self._components is None else await self._components.leases.release_all()

    async def close(self) -> None:
        """Wait for running generations, then close all connections."""
        if self._components is not None:
            await self._components.close()
        if self._sessions is not None:
            await self._sessions.close()

    @cached_property
    def settings(self) -> "Settings":
        """The settings. Raises Misconfigured."""
        from image_core.settings import Settings, SettingsError  # noqa: PLC0415 - see the module's docstring

        try:
            return Settings.read(self._environment)
        except SettingsError as error:
            raise Misconfigured(str(error)) from error

    @cached_property
    def memory_budget(self) -> "MemoryBudget":
        """The memory budget. The first use also sets up the process's memory allocation and threads."""
        from image_core.runtime.allocator import return_large_blocks  # noqa: PLC0415 - the same
        from image_core.runtime.memory_budget import MemoryBudget  # noqa: PLC0415 - see the module's docstring
        from image_core.runtime.offload import shorten_thread_turns  # noqa: PLC0415 - the same

        return_large_blocks()
        shorten_thread_turns()
        return MemoryBudget(self.settings.max_inflight_bytes)

    @property
    def max_request_bytes(self) -> int:
        """The length of the longest body that a route takes."""
        return self.settings.max_request_bytes

    @cached_property
    def origin_policy(self) -> "OriginPolicy":
        """The rules for requests from other sites."""
        from image_core.api.origin import OriginPolicy  # noqa: PLC0415 - see the module's docstring

        return OriginPolicy(self.settings.allowed_origins, self.settings.nextauth_url)

    @cached_property
    def response_budget(self) -> "ResponseBudget":
        """The time until a response has to leave."""
        from image_core.api.response_budget import ResponseBudget  # noqa: PLC0415 - see the module's docstring

        return ResponseBudget(self.settings.response_budget_seconds, self.clock)

    @property
    def sessions(self) -> "Sessions":
        """The sessions. Raises Misconfigured."""
        if self._sessions is None:
            from image_core.auth.sessions import sessions_from  # noqa: PLC0415 - see the module's docstring

            self._sessions = sessions_from(self.settings, self.clock)
        return self._sessions

    @property
    def components(self) -> "Components":
        """The parts that need the SDKs. Raises Misconfigured."""
        if self._components is None:
            from image_core.components import Components  # noqa: PLC0415 - see the module's docstring

            self._components = Components(self.settings, self.clock, self.memory_budget)
        return self._components

    @cached_property
    def handlers(self) -> "ApplicationHandlers":
        """The handlers of the routes."""
        return ApplicationHandlers(self)

    def probes(self) -> Mapping[str, Probe]:
        """Return the probes of the deep health check."""
        return {"database": self._database, "storage": self._storage, "model": self._model, "session": self._session}

    async def _database(self) -> Mapping[str, Any]:
        return _containers_report(await self.components.probe_database())

    async def _storage(self) -> Mapping[str, Any]:
        return _containers_report(await self.components.probe_storage())

    async def _session(self) -> Mapping[str, Any]:
        # Building the sessions raises if there is no secret.
        return {"mode": self.settings.nextauth_jwt} if self.sessions else {}

    async def _model(self) -> Mapping[str, Any]:
        return await self.components.model_health()


def _preload() -> None:
    """Import what a first generation needs: about a second on a small machine. Run it in a thread."""
    try:
        import azure.cosmos.aio  # noqa: PLC0415 - imported for the request that uses it first
        import azure.storage.blob.aio  # noqa: F401, PLC0415 - the same
        import google.genai  # noqa: F401, PLC0415 - the same

        import image_core.api.handlers.generate  # noqa: PLC0415 - the same
        import image_core.auth.sessions  # noqa: PLC0415 - the same
        import image_core.components  # noqa: F401, PLC0415 - the same
    except ImportError as error:  # the request that needs it fails with the reason
        log.warning("modules could not be preloaded: %s", error)


def _containers_report(containers: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the result of a probe, with the state of each container: down if one is missing."""
    if all(state == "ok" for state in containers.values()):
        return {"containers": containers}
    return {"status": "down", "code": StorageUnavailable.code, "containers": containers}


class ApplicationHandlers:
    """The handlers of the routes (`api.router.Handlers`), each built when it is first used."""

    def __init__(self, app: Application) -> None:
        self._app = app

    @cached_property
    def generate_image(self) -> "GenerateImage":
        """Answers `POST /api/image`."""
        from image_core.api.handlers.generate import GenerateImage  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return GenerateImage(
            parts.submission,
            parts.reading,
            parts.durations,
            app.memory_budget,
            app.response_budget,
            app.settings.max_images,
        )

    @cached_property
    def upload_image(self) -> "UploadImage":
        """Answers `POST /api/upload`."""
        from image_core.api.handlers.upload import UploadImage  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return UploadImage(parts.loader, parts.images, app.memory_budget, app.response_budget, app.clock)

    @cached_property
    def list_generations(self) -> "ListGenerations":
        """Answers `GET /api/generations`."""
        from image_core.api.handlers.generations import ListGenerations  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return ListGenerations(parts.history, parts.reading, app.memory_budget, app.response_budget)

    @cached_property
    def get_generation(self) -> "GetGeneration":
        """Answers `GET /api/generations/{id}`."""
        from image_core.api.handlers.generations import GetGeneration  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return GetGeneration(parts.history, parts.reading, parts.background, app.memory_budget, app.response_budget)

    @cached_property
    def cancel_generation(self) -> "CancelGeneration":
        """Answers `POST /api/generations/{id}/cancel`."""
        from image_core.api.handlers.generations import CancelGeneration  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return CancelGeneration(parts.cancellation, parts.reading, app.memory_budget, app.response_budget)

    @cached_property
    def delete_generation(self) -> "DeleteGeneration":
        """Answers `DELETE /api/generations/{id}`."""
        from image_core.api.handlers.generations import DeleteGeneration  # noqa: PLC0415 - see the module's docstring

        return DeleteGeneration(self._app.components.history)

    @cached_property
    def get_image(self) -> "GetImage":
        """Answers `GET /api/images/{name}`."""
        from image_core.api.handlers.images import GetImage  # noqa: PLC0415 - see the module's docstring

        app, parts = self._app, self._app.components
        return GetImage(
            parts.reading,
            parts.rendition_maker,
            parts.history,
            parts.background,
            app.memory_budget,
            app.response_budget,
        )

    @cached_property
    def delete_upload(self) -> "DeleteUpload":
        """Answers `DELETE /api/images/{name}`."""
        from image_core.api.handlers.images import DeleteUpload  # noqa: PLC0415 - see the module's docstring

        return DeleteUpload(self._app.components.reading)

    @cached_property
    def list_models(self) -> "ListModels":
        """Answers `GET /api/models`."""
        from image_core.api.handlers.models import ListModels  # noqa: PLC0415 - see the module's docstring
        from image_core.api.wire.models import Limits  # noqa: PLC0415 - the same

        parts = self._app.components
        return ListModels(parts.chain, parts.durations, Limits.of(self._app.settings))

    @cached_property
    def get_usage(self) -> "GetUsage":
        """Answers `GET /api/usage`."""
        from image_core.api.handlers.usage import GetUsage  # noqa: PLC0415 - see the module's docstring

        return GetUsage(self._app.components.spending)

    @cached_property
    def get_health(self) -> GetHealth:
        """Answers `GET /api/health`."""
        return GetHealth(self._app.probes, self._app.clock)

    @cached_property
    def get_document(self) -> "GetDocument":
        """Answers `GET /api/openapi.json`."""
        from image_core.api.handlers.docs import GetDocument  # noqa: PLC0415 - see the module's docstring

        return GetDocument(self._documentation)

    @cached_property
    def get_page(self) -> "GetPage":
        """Answers `GET /api/docs`."""
        from image_core.api.handlers.docs import GetPage  # noqa: PLC0415 - see the module's docstring

        return GetPage(self._documentation)

    @cached_property
    def _documentation(self) -> "Documentation":
        from image_core.api.handlers.docs import Documentation  # noqa: PLC0415 - see the module's docstring

        settings, clock = self._app.settings, self._app.clock

        def build() -> Mapping[str, Any]:
            from image_core.api.openapi.document import build  # noqa: PLC0415 - it takes half a second, in a thread

            return build(settings, clock)

        return Documentation(build)
