"""The part of the composition root that imports the SDKs: build everything that makes generations."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from image_core.billing.admission import Admission
from image_core.billing.budgets import Budgets, SpendingLimits, UserLimits
from image_core.billing.ledger import Ledger
from image_core.billing.spending import Spending
from image_core.clock import Clock, iso
from image_core.generations.accounting import Accounting
from image_core.generations.background import BackgroundTasks
from image_core.generations.cancellation import Cancellation
from image_core.generations.completion import Completion
from image_core.generations.context import Conversations
from image_core.generations.converter import SandboxConverter
from image_core.generations.durations import Durations
from image_core.generations.execution import Execution
from image_core.generations.history import History
from image_core.generations.lease import Leases
from image_core.generations.limits import RunLimits
from image_core.generations.outbox_delivery import OutboxDelivery
from image_core.generations.output_images import OutputImages
from image_core.generations.postprocessing import Postprocessing
from image_core.generations.reading import Reading
from image_core.generations.reconciliation import ImagePlaces, Reconciliation
from image_core.generations.records import Records
from image_core.generations.recovery import Recovery
from image_core.generations.renditions import RenditionMaker
from image_core.generations.request_inputs import RequestInputs
from image_core.generations.retries import StorageRetries
from image_core.generations.run_inputs import RunInputs
from image_core.generations.runner import Runner
from image_core.generations.starter import Starter
from image_core.generations.submit import Submission
from image_core.generations.unended import UnendedRecords
from image_core.images.sandbox_scheduler import Sandboxes
from image_core.inputs.fetcher import Fetcher, FetchPolicy
from image_core.inputs.loader import InputLimits, Loader
from image_core.inputs.owned_urls import OwnedUrls
from image_core.models.build import build_models
from image_core.models.probe import state_of_chain
from image_core.runtime.memory_budget import MemoryBudget
from image_core.settings import FUNCTION_TIMEOUT_SECONDS, Settings
from image_core.storage.azure_blobs import AzureBlobs
from image_core.storage.backoff import Backoff
from image_core.storage.cosmos import LEASES, Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations, CosmosLedger
from image_core.storage.images import StoredImages
from image_core.storage.input_copies import InputCopies
from image_core.storage.outbox import Outbox
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns

PROBE_SECONDS = 4.0


class Components:
    """The parts of the application that need the SDKs. Raises Misconfigured where a setting is missing."""

    def __init__(self, settings: Settings, clock: Clock, memory_budget: MemoryBudget | None = None) -> None:
        self._settings = settings

        # Storage, and the memory budget.
        self.blobs = _blobs(settings)
        self.cosmos = _cosmos(settings, clock)
        private = settings.storage_private_container
        backoff = Backoff(clock)
        self.records = Records(CosmosGenerations(self.cosmos, settings.cosmos_container), backoff)
        self.ledger = Ledger(CosmosLedger(self.cosmos, settings.cosmos_usage_container), backoff, clock)
        self.pseudonyms = Pseudonyms(self.blobs, private)
        self.renditions = Renditions(self.blobs, private)
        turns = Turns(self.blobs, private)
        copies = InputCopies(self.blobs, private)
        outbox = Outbox(self.blobs, private)
        own = _own_addresses(settings, self.blobs.account_url)
        self.images = StoredImages(self.blobs, own, self.pseudonyms, self.renditions, turns)
        self.memory_budget = memory_budget or MemoryBudget(settings.max_inflight_bytes)

        # The models, and the images that they get.
        self.models = build_models(settings, clock)
        self.chain = self.models.chain
        self.durations = Durations(self.chain.first)
        self.reading = Reading(self.blobs, self.images, self.renditions, self.records, own)
        sandboxes = Sandboxes(settings.max_image_pixels, settings.max_decoded_pixels)
        input_limits = InputLimits(settings.max_image_bytes, settings.max_image_pixels)
        self.loader = Loader(input_limits, own, self.reading, Fetcher(FetchPolicy.of(settings)), sandboxes)
        self.rendition_maker = RenditionMaker(self.blobs, self.renditions, sandboxes, self.memory_budget, clock)
        conversations = Conversations(turns, copies)

        # One generation, from its lease to its end.
        limits = RunLimits(
            settings.generation_deadline_seconds,
            settings.lease_seconds,
            settings.max_recoveries,
            FUNCTION_TIMEOUT_SECONDS,
        )
        retries = StorageRetries(clock, limits.keep_seconds)
        accounting = Accounting(self.ledger, self.pseudonyms, self.durations, clock)
        images = OutputImages(self.images, outbox, conversations, retries)
        completion = Completion(self.records, images, outbox, accounting, retries, clock)
        delivery = OutboxDelivery(self.records, images, outbox, accounting, completion)
        unended = UnendedRecords(self.records, settings.gemini_models[0])
        self.spending = Spending(unended, self.ledger, _spending_limits(settings), settings.gemini_models, clock)
        admission = Admission(self.spending, clock)
        self.leases = Leases(self.records, limits, clock)
        postprocessing = Postprocessing(SandboxConverter(copies, sandboxes, clock), limits)
        execution = Execution(self.chain, postprocessing, images, completion, accounting, limits)
        run_inputs = RunInputs(conversations, self.memory_budget, clock)
        runner = Runner(self.leases, run_inputs, admission, execution, completion, delivery)

        # What handlers, triggers and operators call.
        self.background = BackgroundTasks(self.records, runner, clock)
        self.history = History(self.records, self.images, outbox, accounting, clock)
        self.cancellation = Cancellation(self.records, self.history, self.leases, self.background, clock)
        self.recovery = Recovery(self.records, delivery, self.history, runner)
        places = ImagePlaces(
            settings.storage_container,
            settings.storage_private_container,
            settings.image_access == "public",
            settings.lease_seconds,
        )
        self.reconciliation = Reconciliation(self.records, self.blobs, outbox, delivery, self.recovery, places)
        self.starter = Starter(self.records, self.history, admission, self.leases, self.background, clock)
        request_inputs = RequestInputs(self.history, self.loader, copies, self.chain)
        self.submission = Submission(self.starter, request_inputs, run_inputs, admission, self.chain, self.background)

    async def probe_database(self) -> Mapping[str, str]:
        """Return `ok` or `missing` for each container, by `database/container`. Raises StorageUnavailable."""
        settings = self._settings
        return await self.cosmos.probe(settings.cosmos_container, settings.cosmos_usage_container, LEASES)

    async def probe_storage(self) -> Mapping[str, str]:
        """Return `ok` or `missing` for each container, by its name. Raises StorageUnavailable."""
        return await self.blobs.probe(self._settings.storage_container, self._settings.storage_private_container)

    async def model_health(self) -> Mapping[str, Any]:
        """Return the state of each model: up while one of them can be called, degraded where the first cannot."""
        probed = await self.models.describe(PROBE_SECONDS)
        report: dict[str, Any] = {
            "status": state_of_chain(probed).value,
            "models": {each.model: each.words for each in probed},
            "retired": {name: iso(since) for name, since in self.models.availability.gone().items()},
        }
        if retiring := self.chain.retiring():
            report["retiring"] = {each.name: each.on.isoformat() for each in retiring}
        return report

    async def close(self) -> None:
        """Wait for running generations, then close all connections."""
        await self.background.drain()
        await self.rendition_maker.close()
        await self.loader.close()
        await self.chain.close()
        await self.cosmos.close()
        await self.blobs.close()


def _blobs(settings: Settings) -> AzureBlobs:
    secret = settings.storage_connection_string
    return AzureBlobs(
        connection_string=None if secret is None else secret.get_secret_value(),
        account_url=settings.storage_account_url,
    )


def _cosmos(settings: Settings, clock: Clock) -> Cosmos:
    secret = settings.cosmos_connection_string
    return Cosmos(
        settings.cosmos_database,
        clock,
        connection_string=None if secret is None else secret.get_secret_value(),
        endpoint=settings.cosmos_endpoint,
    )


def _own_addresses(settings: Settings, account_url: str) -> OwnedUrls:
    sites = [settings.nextauth_url] if settings.nextauth_url else []
    origins = (f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, (*sites, *settings.allowed_origins)))
    return OwnedUrls(
        account_url,
        settings.storage_container,
        settings.storage_private_container,
        settings.image_access == "private",
        tuple(origins),
    )


def _spending_limits(settings: Settings) -> SpendingLimits:
    def of_user(user_id: str) -> UserLimits:
        limits = settings.limits_of(user_id)
        return UserLimits(limits.max_concurrent, Budgets(limits.daily_budget_usd, limits.monthly_budget_usd))

    return SpendingLimits(of_user, Budgets(settings.daily_budget_usd, settings.monthly_budget_usd))
