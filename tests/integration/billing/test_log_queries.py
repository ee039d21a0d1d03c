"""The queries and alerts of infra/ give the ledger's sums, on log lines of generations of every outcome."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb_kql
import pytest

from local.gemini.script import finished
from tests.support.change_feed import Feed
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule
from tests.support.gemini_responses import BILLED_REFUSAL, refusal
from tests.support.harness import Harness
from tests.support.hosts import replaces_record
from tests.support.paths import ROOT

INFRA = ROOT / "infra"
DAILY_USD = 1_000_000
LINE = "image_core.generations.line"


def queries() -> dict[str, str]:
    """Return the queries of queries.kql by the beginning of the comment above each."""
    found = {}
    for block in (INFRA / "queries.kql").read_text().split("\n\n")[1:]:
        comment, _, query = block.partition("\n")
        found[comment.removeprefix("// ").partition(",")[0]] = query
    return found


def alert(name: str) -> str:
    return (INFRA / "alerts" / f"{name}.kql").read_text().replace("DAILY_USD", str(DAILY_USD))


Trace = tuple[datetime, str, str]
"""Time, message and category of a log record."""


NOW = datetime.now(UTC)


def run_query(query: str, traces: Iterable[Trace], requests: Iterable[int] = ()) -> list[dict[str, Any]]:
    """Return the rows of a query over these traces and the result codes of these requests, run at `NOW`."""
    query = re.sub(r"\bago\((\w+)\)", rf"(datetime({NOW:%Y-%m-%dT%H:%M:%S.%fZ}) - \1)", query)
    connection = duckdb_kql.connect()
    connection.execute(
        "CREATE TABLE traces (timestamp TIMESTAMP, message VARCHAR, customDimensions JSON, operation_Name VARCHAR,"
        " severityLevel BIGINT)"
    )
    connection.execute("CREATE TABLE requests (resultCode VARCHAR)")
    for when, message, category in traces:
        connection.execute(
            "INSERT INTO traces VALUES (?, ?, ?, 'ledger', 1)",
            [when.astimezone(UTC).replace(tzinfo=None), message, json.dumps({"Category": category})],
        )
    for code in requests:
        connection.execute("INSERT INTO requests VALUES (?)", [str(code)])
    answered = duckdb_kql.query(connection, query)
    return [dict(zip(answered.columns, row, strict=True)) for row in answered.fetchall()]


def logged(caplog: pytest.LogCaptureFixture) -> list[Trace]:
    return [
        (datetime.fromtimestamp(record.created, UTC), record.getMessage(), "Function.ledger.User")
        for record in caplog.records
        if record.name == LINE
    ]


async def expire_and_resume(product: Harness, ledger: Feed, record_id: str) -> None:
    """Expire the lease of a record, and resume the generation as the queue does."""
    record = await product.record(record_id)
    assert record is not None
    await ledger.edit({**record, "leaseExpiresAt": "2026-01-01T00:00:00.000Z"})
    message = json.dumps({"id": record_id, "userId": product.email})
    await product.app.resume(message.encode())


async def crashed(product: Harness, ledger: Feed) -> str:
    """Make a generation whose process dies before the record is complete, and that another process recovers."""
    async with product.another() as dying:
        dying.cosmos.rule(Rule(replaces_record))  # the billed call is written, the completion is not
        completing = dying.cosmos.rule(Rule(replaces_record, times=9, before=asyncio.Event().wait))
        request = asyncio.create_task(dying.generate(headers={"Prefer": "wait=60"}))
        await asyncio.wait_for(completing.hit.wait(), 30)
        (running,) = [record for record in await ledger.changed() if record["status"] == "running"]
        await eventually(lambda: product.blob_names("catafract", running["blobStem"]))
        for task in [*dying.app.components.background._tasks.values()]:
            task[0].cancel()
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        dying.cosmos.rules.remove(completing)
    await expire_and_resume(product, ledger, running["id"])
    return str(running["id"])


async def abandoned(product: Harness) -> None:
    """Send a request whose caller disconnects while the model works."""
    product.fake_gemini.released.clear()
    async with model_called(product):
        request = asyncio.create_task(product.generate())
    request.cancel()
    with suppress(asyncio.CancelledError):
        await request
    product.fake_gemini.released.set()
    await product.drained()


@asynccontextmanager
async def model_called(product: Harness) -> AsyncIterator[None]:
    """Wait at the end until the model has been called once more than at the beginning."""
    calls = len(product.fake_gemini.calls)
    yield
    await product.called(calls + 1)


async def ended_after_its_response(product: Harness) -> str:
    """Make a generation that ends after its 202."""
    product.fake_gemini.released.clear()
    accepted = await product.generate(headers={"Prefer": "wait=1"})
    assert accepted.status == 202
    product.fake_gemini.released.set()
    await product.drained()
    return str(accepted.json["id"])


async def exceeded_the_deadline(product: Harness) -> None:
    async with product.another(GENERATION_DEADLINE_SECONDS="1") as limited:
        late = await limited.generate(headers={"Prefer": "wait=60"})
    assert late.json["code"] == "deadline_exceeded"


async def failed_and_repeated(product: Harness, ledger: Feed) -> str:
    """Make a billed generation that fails, is logged, and runs again with its key."""
    headers = {"Idempotency-Key": "again"}
    product.fake_gemini.script.add(*[finished("STOP", {"text": "no"}, usage=BILLED_REFUSAL)] * 20)
    failed = await product.generate(headers=headers)
    assert failed.json["retryable"], failed.json
    await ledger.deliver()
    product.fake_gemini.script.clear()
    assert (await product.generate(headers=headers)).json["id"] == failed.json["id"]
    return str(failed.json["id"])


async def deleted_while_running(product: Harness) -> None:
    product.fake_gemini.released.clear()
    queued = await product.generate(headers={"Prefer": "respond-async"})
    async with model_called(product):
        runner = asyncio.create_task(product.app.resume(queued.enqueue[0].encode()))
    await product.call("DELETE", f"/api/generations/{queued.json['id']}")
    product.fake_gemini.released.set()
    await runner


async def test_costs_of_the_queries_equal_the_ledger(
    product: Harness, ledger: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = (await product.generate()).json["id"]
    await ended_after_its_response(product)
    await abandoned(product)
    await exceeded_the_deadline(product)
    product.fake_gemini.script.add(refusal())
    assert (await product.generate()).json["code"] == "refused"
    await failed_and_repeated(product, ledger)
    await crashed(product, ledger)
    ended = await product.generate()
    await product.call("DELETE", f"/api/generations/{ended.json['id']}")
    await deleted_while_running(product)
    for _ in range(3):
        await ledger.deliver()  # the change feed delivers at least once
    await product.call("DELETE", f"/api/generations/{first}")  # which writes the log line again

    lines = logged(caplog)
    entries, usd = await ledger.entries(), await ledger.usd()
    assert len(lines) > 2 * 9, "each line is logged several times"
    (costs,) = run_query(queries()["Cost by day and user"], lines)
    assert (costs["usd"], costs["calls"]) == (round(usd, 4), len(entries))
    estimated = round(sum(entry["budgetUsd"] for entry in entries if entry["usd"] is None), 4)
    assert costs["estimatedUsd"] == estimated
    assert round(usd, 4) == round(product.fake_gemini.billed_usd, 4) > 0
    spent = run_query(alert("money").replace(f"| where usd > {DAILY_USD}", ""), lines)
    assert [round(row["usd"], 4) for row in spent] == [round(usd + estimated, 4)]
    outcomes = run_query(queries()["Generations by outcome"], lines)
    failures = {"deadline_exceeded": 1, "refused": 1}
    assert {row["outcome"]: row["generations"] for row in outcomes} == {"ok": 6, "deleted": 1, **failures}
    reasons = run_query(queries()["Failures by reason"], lines)
    assert {row["reason"]: row["failures"] for row in reasons} == failures
    latencies = run_query(queries()["Latency by model"], lines)
    assert sum(row["images"] for row in latencies) == 6
    attempts = run_query(queries()["Calls by model and outcome"], lines)
    assert sum(row["calls"] for row in attempts) >= len(entries)


def test_cost_of_an_unpriced_call_is_estimated() -> None:
    when = NOW.isoformat()
    bills = [
        {"id": "a", "usd": 0.1, "budgetUsd": 0.1, "startedAt": when},
        {"id": "b", "usd": None, "budgetUsd": 0.134, "startedAt": when},
    ]
    lines = [
        (NOW, f"generation {json.dumps({'id': 'gen-1', 'user': 'u', 'bills': bills})}", "Function.ledger.User")
    ] * 2
    (row,) = run_query(queries()["Cost by day and user"], lines)
    assert (row["usd"], row["estimatedUsd"], row["calls"]) == (0.1, 0.134, 2)
    (spent,) = run_query(alert("money").replace(str(DAILY_USD), "0.2"), lines)
    assert round(spent["usd"], 4) == 0.234
    assert run_query(alert("money").replace(str(DAILY_USD), "0.24"), lines) == []


def line(
    number: int, outcome: str, *, ago: timedelta, logged_ago: timedelta | None = None, total: int = 20_000
) -> Trace:
    ended = NOW - ago
    written = {
        "id": f"gen-{number}",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "endedAt": ended.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": outcome,
        "durationMs": {"total": total},
        "bills": [],
    }
    return (
        NOW - (ago if logged_ago is None else logged_ago),
        f"generation {json.dumps(written)}",
        "Function.ledger.User",
    )


MINUTE = timedelta(minutes=1)
OK = [line(number, "ok", ago=MINUTE) for number in range(9)]
FAILURES = [line(number + 100, "model_error", ago=MINUTE) for number in range(2)]


@pytest.mark.parametrize(
    ("traces", "fires"),
    [
        (OK + FAILURES, True),
        (OK + FAILURES[:1], False),
        (OK + FAILURES[:1] * 5, False),
        (OK + FAILURES[:1] + [line(300, "refused", ago=MINUTE)] * 3, False),
        (OK[:5] + FAILURES, False),
        (OK + [line(100, "model_error", ago=timedelta(days=1), logged_ago=MINUTE)] * 5, False),
        (OK + FAILURES + [line(100, "ok", ago=MINUTE, logged_ago=timedelta())], False),
    ],
    ids=[
        "two failures of eleven",
        "one failure of ten",
        "one failure logged five times",
        "one failure and refusals",
        "too few generations",
        "line of an old failure, written by its deletion",
        "one failure that ran again",
    ],
)
def test_failure_alert_counts_each_generation_once(traces: list[Trace], fires: bool) -> None:
    assert bool(run_query(alert("failures"), traces)) is fires


def test_slowness_alert_counts_each_generation_once() -> None:
    slow = line(50, "ok", ago=MINUTE, total=130_000)
    assert run_query(alert("slow"), [*OK, slow]) != []
    assert (
        run_query(alert("slow"), [*OK, *OK, *[line(number + 50, "ok", ago=MINUTE) for number in range(20)], slow]) == []
    )
    assert run_query(alert("slow"), [*OK[:5], *[slow] * 9]) == []


def test_alerts_on_poison_messages_and_unavailability() -> None:
    assert run_query(alert("poison"), [(NOW, "poison message gen-1", "Function.poison.User")]) != []
    assert run_query(alert("poison"), OK) == []
    assert run_query(alert("unavailable"), [], [500, 503, *[200] * 20]) != []
    assert run_query(alert("unavailable"), [], [500, *[200] * 20]) == []


def test_every_query_runs_on_an_empty_table() -> None:
    for name, query in queries().items():
        assert run_query(query, []) == [], name


def test_warnings_outside_of_invocations_are_found() -> None:
    warning = (NOW, "WARNING image_core.storage: cosmos did not answer", "Host.Function.Console")
    (row,) = run_query(
        queries()["Warnings of work that continues after its response"],
        [*OK, warning],
    )
    assert row["message"] == warning[1]
