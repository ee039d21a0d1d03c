"""Derive the ledger entries of a record from its attempts."""

import logging
from collections.abc import Iterable

from image_core.billing.entries import Entry
from image_core.generations.record import Record
from image_core.generations.record_codec import from_document
from image_core.models.generated import OK, Attempt
from image_core.models.prices import budget_usd, expected_usd
from image_core.storage.documents import Document

log = logging.getLogger("image_core.ledger")


def entries(record: Record) -> tuple[Entry, ...]:
    """Return an entry for each call that was billed according to the record, or may have been."""
    found = tuple(
        _entry(record, attempt.id or f"{record.id}-{number}", attempt)
        for number, attempt in enumerate(record.attempts)
        if attempt.usage is not None or attempt.estimated_usd is not None
    )
    recovered = any(warning.startswith("recovered") for warning in record.warnings)
    if recovered and not any(attempt.outcome == OK for attempt in record.attempts):
        found += (_unknown(record),)
    return found


def delivered_entries(documents: Iterable[Document]) -> tuple[Entry, ...]:
    """Return the entries of the documents that the change feed delivers.

    A document that is no record is logged and left out, so that it does not delay the others.
    """
    found: list[Entry] = []
    for document in documents:
        try:
            found += entries(from_document(document))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("%s is no record: %s", document.get("id"), type(error).__name__)  # noqa: TRY400 - a person's edit
    return tuple(found)


def _entry(record: Record, entry_id: str, attempt: Attempt) -> Entry:
    usage = attempt.usage
    return Entry(
        entry_id,
        record.user_id,
        record.id,
        attempt.model,
        attempt.outcome,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        None if usage is None else usage.cost_usd,
        attempt.estimated_usd or 0.0 if usage is None else budget_usd(attempt.model, usage),
        attempt.started_at or record.completed_at or record.created_at,
    )


def _unknown(record: Record) -> Entry:
    """Return the entry of a recovered image, whose process died before it wrote the usage.

    It counts with the highest price of an image of its size.
    """
    price = expected_usd("unknown", record.options.image_size)
    when = record.completed_at or record.created_at
    entry_id = f"{record.run_id or record.id}-recovered"
    return Entry(entry_id, record.user_id, record.id, "unknown", OK, None, None, None, price, when)
