"""The sums of the ledger equal its entries, in whatever order and how often the change feed delivers records."""

import asyncio
import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_core.auth.user import User
from image_core.billing.entries import Sum
from image_core.billing.ledger import Ledger
from image_core.clock import Clock
from image_core.generations.ledger_entries import delivered_entries
from image_core.storage.backoff import Backoff
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosLedger
from local.provision import provision_cosmos

numbers = itertools.count()
DAYS = ("2026-01-30", "2026-01-31", "2026-02-01")
MODELS = ("gemini-3-pro-image", "gemini-nano-banana-2.1", "an-unknown-model")


def attempts(run: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw the calls of one generation, in the order in which they reach its record."""
    usage = st.one_of(
        st.none(),
        st.floats(0, 0.3).map(lambda usd: {"inputTokens": 5, "outputTokens": 9, "costUsd": round(usd, 6)}),
        st.just({"inputTokens": 5, "outputTokens": 9, "costUsd": None}),
    )
    call = st.fixed_dictionaries(
        {
            "model": st.sampled_from(MODELS),
            "outcome": st.sampled_from(["ok", "no_image", "refused"]),
            "durationMs": st.just(1),
            "usage": usage,
            "startedAt": st.sampled_from(DAYS).map(lambda day: f"{day}T12:00:00.000Z"),
        }
    )
    return st.lists(call, max_size=4).map(
        lambda calls: [
            {name: value for name, value in {**each, "id": f"run{run}-{n}"}.items() if value is not None}
            for n, each in enumerate(calls)
        ]
    )


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[dict[str, Any]]], list[list[tuple[int, int]]]]:
    """Draw the calls of each generation, and batches of (generation, number of its calls in the record).

    A batch has versions in any order, possibly repeated. The last batch has the newest version of each generation.
    """
    calls = [draw(attempts(run)) for run in range(draw(st.integers(1, 4)))]
    version = st.integers(0, len(calls) - 1).flatmap(
        lambda number: st.tuples(st.just(number), st.integers(0, len(calls[number])))
    )
    batches = draw(st.lists(st.lists(version, min_size=1, max_size=4), max_size=6))
    newest = draw(st.permutations([(number, len(made)) for number, made in enumerate(calls)]))
    return calls, [*batches, list(newest)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=deliveries(), together=st.booleans())
def test_sums_equal_the_entries_whatever_is_delivered(
    given: tuple[list[list[dict[str, Any]]], list[list[tuple[int, int]]]],
    together: bool,
    cosmos_connection_string: str,
) -> None:
    asyncio.run(deliver_and_compare(*given, together=together, connection_string=cosmos_connection_string))


async def deliver_and_compare(
    calls: list[list[dict[str, Any]]],
    batches: list[list[tuple[int, int]]],
    *,
    together: bool,
    connection_string: str,
) -> None:
    user = User(f"deliveries{next(numbers)}@example.com")
    await provision_cosmos(connection_string)
    cosmos = [Cosmos("catafract", Clock(), connection_string=connection_string) for _ in range(2)]
    one, two = (Ledger(CosmosLedger(each, "usage"), Backoff(Clock()), Clock()) for each in cosmos)

    def documents(batch: list[tuple[int, int]]) -> list[dict[str, Any]]:
        return [
            {
                "id": f"gen-{number}",
                "userId": user.id,
                "prompt": "x",
                "createdAt": f"{DAYS[0]}T00:00:00.000Z",
                "attempts": calls[number][:count],
            }
            for number, count in batch
        ]

    try:
        if together:  # two instances of the function, which get every batch
            await asyncio.gather(
                *(each.enter_delivered(delivered_entries(documents(batch))) for batch in batches for each in (one, two))
            )
        else:
            for batch in batches:
                await one.enter_delivered(delivered_entries(documents(batch)))
                await assert_sums_equal_entries(one, user)
        await assert_sums_equal_entries(one, user)
        billed = [each for made in calls for each in made if "usage" in each]
        entered = [entry async for entry in one.of_user(user, DAYS[0], "2026-03-01")]
        assert sorted(entry.id for entry in entered) == sorted(each["id"] for each in billed)
    finally:
        for each in cosmos:
            await each.close()


async def assert_sums_equal_entries(ledger: Ledger, user: User) -> None:
    """Compare the sum of each day and month with its entries."""
    entered = [entry async for entry in ledger.of_user(user, DAYS[0], "2026-03-01")]
    for period in (*DAYS, "2026-01", "2026-02"):
        made = Sum()
        for entry in entered:
            if entry.counts_in(period):
                made.add_by_model(entry)
        found = await ledger.sum_of(user, period)
        assert rounded(found) == rounded(made)


def rounded(found: Sum) -> tuple[object, ...]:
    """Return comparable values: the order of additions changes the last digits."""
    return (
        found.images,
        found.calls,
        found.unpriced,
        round(found.usd, 4),
        round(found.estimated_usd, 4),
        {model: rounded(each) for model, each in found.models.items()},
    )
