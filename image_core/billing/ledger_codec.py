"""The documents of the ledger: an entry, and a user's sum of a day or a month.

Each has a function that writes it (`…_document`) and one beside it that reads it (`to_…`). Times are ISO 8601, UTC,
milliseconds, `Z`, so that they sort as text.
"""

from typing import Any

from image_core.billing.entries import Entry, Sum
from image_core.clock import from_iso, iso
from image_core.storage.documents import Document

ENTRY_FIELDS = (
    *("id", "userId", "generationId", "model", "outcome", "inputTokens", "outputTokens", "usd", "budgetUsd", "time"),
)
"""The keys of an entry's document."""


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return the document of an entry."""
    return {
        "id": entry.id,
        "userId": entry.user_id,
        "generationId": entry.generation_id,
        "model": entry.model,
        "outcome": entry.outcome,
        "inputTokens": entry.input_tokens,
        "outputTokens": entry.output_tokens,
        "usd": entry.usd,
        "budgetUsd": entry.budget_usd,
        "time": iso(entry.time),
    }


def to_entry(document: Document) -> Entry:
    """Return the entry in a document."""
    return Entry(
        document["id"],
        document["userId"],
        document["generationId"],
        document["model"],
        document["outcome"],
        document.get("inputTokens"),
        document.get("outputTokens"),
        document.get("usd"),
        document["budgetUsd"],
        from_iso(document["time"]),
    )


def sum_id(period: str) -> str:
    """Return the id of the document of a day's (`2026-11-25`) or a month's (`2026-11`) sum."""
    return f"sum-{period}"


def sum_document(user_id: str, period: str, added: Sum, updated_at: str) -> dict[str, Any]:
    """Return the document of a user's sum of a day or a month."""
    return {
        "id": sum_id(period),
        "userId": user_id,
        "period": period,
        "updatedAt": updated_at,
        "budgetUsd": added.budget_usd,
        **_numbers(added),
    }


def to_sum(document: Document) -> Sum:
    """Return the sum in a document, or that of one of its models."""
    return Sum(
        document["images"],
        document["calls"],
        document["usd"],
        document["unpriced"],
        document["estimatedUsd"],
        {model: to_sum(each) for model, each in document.get("models", {}).items()},
    )


def _numbers(added: Sum) -> dict[str, Any]:
    document: dict[str, Any] = {
        "images": added.images,
        "calls": added.calls,
        "usd": added.usd,
        "unpriced": added.unpriced,
        "estimatedUsd": added.estimated_usd,
    }
    if added.models:
        document["models"] = {model: _numbers(each) for model, each in added.models.items()}
    return document
