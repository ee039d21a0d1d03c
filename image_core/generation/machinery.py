"""All that makes generations, put together: importing this brings the SDKs in."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from image_core.clock import Clock, iso
from image_core.generation.audit import Audit
from image_core.generation.cancel import Cancellation
from image_core.generation.endings import Endings
from image_core.generation.expected import Expected
from image_core.generation.history import History
from image_core.generation.limits import Limits
from image_core.generation.reading import Reading
from image_core.generation.recovery import Recovery
from image_core.generation.rendering import Rendering
from image_core.generation.run import Runner
from image_core.generation.running import Running
from image_core.generation.spend import Spending
from image_core.generation.submit import Submission
from image_core.inflight import InflightBytes
from image_core.inputs.load import Loader
from image_core.inputs.own import OwnAddresses
from image_core.inputs.sandbox import Sandboxes
from image_core.model.chain import ModelChain
from image_core.model.probe import state_of_chain
from image_core.settings import Settings
from image_core.store.blobs import Blobs
from image_core.store.cosmos import Cosmos
from image_core.store.inputs import InputCopies
from image_core.store.ledger import Ledger
from image_core.store.outbox import Outbox
from image_core.store.pictures import Pictures
from image_core.store.pseudonyms import Pseudonyms
from image_core.store.records import Records
from image_core.store.renditions import Renditions

PROBE_SECONDS = 4.0


class Machinery:
    """Raises Misconfigured where a setting is missing that any of it needs."""

    def __init__(self, settings: Settings, clock: Clock, inflight: InflightBytes | None = None) -> None:
        self.blobs = Blobs(settings)
        self.cosmos = Cosmos(settings, clock)
        self.records = Records(self.cosmos)
        self.ledger = Ledger(self.cosmos, settings.cosmos_usage_container, clock)
        self.pseudonyms = Pseudonyms(self.blobs, settings)
        self.renditions = Renditions(self.blobs, settings)
        self.pictures = Pictures(self.blobs, self.pseudonyms, self.renditions, settings)
        self.inflight = inflight or InflightBytes(settings.max_inflight_bytes)
        self.model = ModelChain(settings, clock)
        own = _own_addresses(settings, self.blobs.account_url)
        self.expected = Expected(self.model.first)
        self.running = Running(self.records, clock)
        self.reading = Reading(self.blobs, self.pictures, self.renditions, self.records, own)
        sandboxes = Sandboxes(settings)
        self.loader = Loader(settings, own, self.reading, sandboxes=sandboxes)
        self.rendering = Rendering(self.blobs, self.renditions, sandboxes, self.inflight, clock)
        copies = InputCopies(self.blobs, settings)
        outbox = Outbox(self.blobs, settings)
        endings = Endings(self.records, self.pictures, outbox, self.ledger, self.pseudonyms, clock)
        self.spending = Spending(self.records, self.ledger, settings, clock)
        limits = Limits(self.spending, settings, clock)
        self.runner = Runner(
            self.records,
            self.ledger,
            self.pictures,
            copies,
            endings,
            limits,
            self.model,
            self.inflight,
            self.expected,
            self.rendering,
            settings,
            clock,
        )
        self.history = History(self.records, self.pictures, outbox, self.ledger, self.pseudonyms, settings, clock)
        self.cancellation = Cancellation(self.records, self.history, self.runner, self.running, clock)
        self.recovery = Recovery(self.records, endings, self.history, self.runner, clock)
        self.audit = Audit(self.records, self.blobs, outbox, endings, self.recovery, settings, clock)
        self.submission = Submission(
            self.runner,
            self.running,
            self.records,
            self.history,
            limits,
            self.spending,
            self.loader,
            copies,
            self.model,
            self.inflight,
            settings,
            clock,
        )

    async def model_health(self) -> Mapping[str, Any]:
        """Each model of the chain: up while one of them answers, degraded where the first does not."""
        probed = await self.model.probe(PROBE_SECONDS)
        told: dict[str, Any] = {
            "status": state_of_chain(probed).value,
            "models": {each.model: each.words for each in probed},
            "retired": {name: iso(since) for name, since in self.model.retired().items()},
        }
        if retiring := self.model.retiring():
            told["retiring"] = {each.name: each.on.isoformat() for each in retiring}
        return told

    async def close(self) -> None:
        await self.running.drain()
        await self.rendering.close()
        await self.loader.close()
        await self.model.close()
        await self.records.close()
        await self.blobs.close()


def _own_addresses(settings: Settings, account_url: str) -> OwnAddresses:
    sites = [settings.nextauth_url] if settings.nextauth_url else []
    origins = (f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, (*sites, *settings.allowed_origins)))
    return OwnAddresses(
        account_url,
        settings.storage_container,
        settings.storage_private_container,
        settings.image_access == "private",
        tuple(origins),
    )
