"""The log line of each generation: `generation {…}`, JSON, which `infra/queries.kql` and the alerts read.

The change feed's function writes it when it receives a record that has ended, and a deletion writes it before it
removes the record. The feed delivers at least once and a record can end more than once, so a line may come several
times: queries take the newest line of each `id`, the time of the end from `endedAt`, and each ledger entry (`bills`)
once.

A line names its user by a keyed digest (`storage.pseudonyms`), and holds no prompt (unless LOG_PROMPTS is set),
image, token or e-mail address.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from image_core.clock import iso
from image_core.generations.ledger_entries import entries
from image_core.generations.record import Record, Status, total
from image_core.generations.record_codec import from_document
from image_core.models.generated import OK
from image_core.storage.pseudonyms import Pseudonyms

log = logging.getLogger("image_core.generations.line")

SHOWN_PROMPT_CHARACTERS = 4000
"""Application Insights cuts a message after 32 768 characters, and the rest of such a line cannot be parsed as JSON."""


async def log_ended(changed: Iterable[Mapping[str, Any]], pseudonyms: Pseudonyms, *, prompts: bool) -> None:
    """Write the line of each of the documents of the change feed whose generation has ended.

    Documents that are not records, or are records of the original product, have no line.
    """
    await pseudonyms.prepare_log()
    for document in changed:
        try:
            record = from_document(document)
            if record.completed_at is not None:
                log_generation(record, record.completed_at, pseudonyms, prompts=prompts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # An operator's edit: without this the feed would deliver its batch again forever.
            log.warning("%s has no line: %s", document.get("id"), type(error).__name__)


def log_generation(record: Record, now: datetime, pseudonyms: Pseudonyms, *, prompts: bool = False) -> None:
    """Write the line of one generation. `now` is its end where the record has none: it was deleted while it ran."""
    usage = total(record.attempts)
    line = {
        "id": record.id,
        "user": pseudonyms.in_log(record.user),
        "outcome": _outcome(record),
        "createdAt": iso(record.created_at),
        "endedAt": iso(record.completed_at or now),
        "model": record.model,
        "attempts": [
            {"model": attempt.model, "outcome": attempt.outcome, "durationMs": attempt.duration_ms}
            for attempt in record.attempts
        ],
        "bills": [
            {
                "id": entry.id,
                "model": entry.model,
                "usd": entry.usd,
                "budgetUsd": entry.budget_usd,
                "startedAt": iso(entry.time),
            }
            for entry in entries(record)
        ],
        "costUsd": None if usage is None else usage.cost_usd,
        "durationMs": record.timings or {},
        "images": len(record.inputs),
        "bytesIn": sum(copy.size for copy in record.inputs),
        "aspectRatio": record.options.aspect_ratio,
        "imageSize": record.options.image_size,
        "attempt": record.attempt_count,
        "traceId": None if record.trace_parent is None else record.trace_parent.split("-")[1],
        **({"prompt": record.prompt[:SHOWN_PROMPT_CHARACTERS]} if prompts else {}),
    }
    log.info("generation %s", json.dumps(line, ensure_ascii=False))


def _outcome(record: Record) -> str:
    """`ok`, an error code, or `deleted` for a generation that was deleted while it ran."""
    if record.failure is not None:
        return record.failure.code
    if record.output_image_url is not None:
        return OK
    return "deleted" if record.status is Status.DELETING else record.status
