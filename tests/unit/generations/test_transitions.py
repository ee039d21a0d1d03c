"""Who may write what into a record: every action against everything that may be stored when it is made.

Process A began the generation and has its lease; it has read the record as `running`. Then the stored record changes,
and A acts on the version that it has read. Process B is another process.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from image_core.errors import Canceled, NoImage, NotFound, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.lease import CancelRequested, LeaseLost
from image_core.generations.record import Record, Status, StoredTurn
from image_core.generations.records import Changed
from image_core.generations.result import Gone, LeasedElsewhere
from image_core.models.generated import OK, Attempt, Generated, Options
from tests.support.domain import ADA, Process, Store, image
from tests.support.fakes.model import MODEL, USAGE

URL = "https://account.example/catafract/another.png"
ATTEMPT = Attempt(MODEL, OK, 1, USAGE, id="run-of-a-0")
GENERATED = Generated(image(), None, MODEL, USAGE, (ATTEMPT,))
FAILED = Failure.of(NoImage())

Change = Callable[[Store, Record], Awaitable[object]]
Action = Callable[[Process, Record], Coroutine[Any, Any, object]]


def stored_as(change: Callable[[Record], Record]) -> Change:
    """Another process writes this version."""

    async def write(store: Store, record: Record) -> None:
        await store.write(change(record))

    return write


def leased_by_b(record: Record) -> Record:
    """B has the lease."""
    return replace(record, lease_owner="b", lease_expires_at=later(record))


def later(record: Record) -> datetime:
    """Return a time after every action of the tests."""
    return record.created_at + timedelta(days=1)


async def unchanged(store: Store, record: Record) -> None:
    """Nothing happens."""


async def removed(store: Store, record: Record) -> None:
    """Delete the record."""
    await store.remove(record)


async def key_reused(store: Store, record: Record) -> None:
    """Store another generation under the id of the record, which was deleted."""
    await store.write(replace(leased_by_b(record), blob_stem="generated-another"))


def succeeded_by_b(record: Record) -> Record:
    """B has stored its image."""
    return leased_by_b(record).succeeded(URL, GENERATED, "b", record.created_at)


def failed_by_b(record: Record) -> Record:
    """B has failed it."""
    return leased_by_b(record).failed(FAILED, (), (), record.created_at)


def canceled_by_b(record: Record) -> Record:
    """B has ended it for its caller."""
    return leased_by_b(record).canceled(Failure.of(Canceled()), (), record.created_at)


STATES: dict[str, Change] = {
    "mine": unchanged,
    "expired": stored_as(lambda record: replace(record, lease_expires_at=record.created_at - timedelta(seconds=1))),
    "released": stored_as(lambda record: record.released(record.created_at)),
    "canceling": stored_as(lambda record: replace(record, cancel_requested_at=record.created_at)),
    "leased by b": stored_as(leased_by_b),
    "succeeded": stored_as(succeeded_by_b),
    "failed": stored_as(failed_by_b),
    "canceled": stored_as(canceled_by_b),
    "deleting": stored_as(lambda record: record.deleting(later(record), leased=True)),
    "removed": removed,
    "key reused": key_reused,
}


async def succeed(process: Process, record: Record) -> object:
    """Complete it with an image."""
    stored, _ = await process.images.store(record, GENERATED)
    return await process.completion.succeed(record, GENERATED, stored)


async def recover(process: Process, record: Record) -> object:
    """Complete it with an image that was found."""
    stored, _ = await process.images.store(record, GENERATED)
    return await process.completion.recover(record, stored.name, GENERATED.image)


async def fail(process: Process, record: Record) -> object:
    """Complete it without an image."""
    return await process.completion.fail(record, NoImage())


async def cancel(process: Process, record: Record) -> object:
    """Complete it as canceled."""
    return await process.completion.cancel(record)


async def start(process: Process, record: Record) -> object:
    """Note that a model is about to be called."""
    async with process.leases.hold(record) as lease:
        return await lease.start()


async def renew(process: Process, record: Record) -> object:
    """Work for longer than the time between two renewals."""
    async with process.leases.hold(record) as lease:
        await lease.run_under(process.fake_clock.sleep(21))
        return lease.record


async def release(process: Process, record: Record) -> None:
    """Give the lease back."""
    async with process.leases.hold(record) as lease:
        await lease.release()


async def claim(process: Process, record: Record) -> object:
    """Take the lease, from a version that was read with an expired one."""
    return await process.leases.claim(replace(record, lease_expires_at=record.created_at - timedelta(seconds=1)))


async def request_cancel(process: Process, record: Record) -> object:
    """Cancel it at another process than A."""
    return await Process(process.store).cancellation.cancel(ADA, record.id, 0)


async def delete(process: Process, record: Record) -> None:
    """Delete it at another process than A."""
    await Process(process.store).history.delete(ADA, record.id)


async def reopen(process: Process, record: Record) -> object:
    """Run it again, from a version that was read as failed."""
    return await process.leases.reopen(replace(record, status=Status.FAILED), 0.2, queued=True)


ACTIONS: dict[str, Action] = {
    each.__name__: each
    for each in (succeed, recover, fail, cancel, start, renew, release, claim, request_cancel, delete, reopen)
}

MINE, RELEASED, BY_B, NEW_LEASE = "running a", "running -", "running b", "running new"
SUCCEEDED, FAILED_BY_B, CANCELED_BY_B = "succeeded b", "failed b", "canceled b"
NONE, OTHER = "none", "another generation"

# What is stored after the action: status and owner of the lease. An error that the action raises is named behind it.
TABLE: dict[str, dict[str, str]] = {
    # A generated image overrides everything but an image that is there, and a deletion.
    "succeed": {
        "mine": "succeeded a",
        "expired": "succeeded a",
        "released": "succeeded a",
        "canceling": "succeeded a",
        "leased by b": "succeeded a",
        "succeeded": SUCCEEDED,
        "failed": "succeeded a",
        "canceled": "succeeded a",
        "deleting": f"{NONE}, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, Gone",
    },
    "recover": {
        "mine": "succeeded a",
        "expired": "succeeded a",
        "released": "succeeded -",
        "canceling": "succeeded a",
        "leased by b": "succeeded b",
        "succeeded": SUCCEEDED,
        "failed": "succeeded b",
        "canceled": "succeeded b",
        "deleting": f"{NONE}, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, Gone",
    },
    # `failed` and `canceled` are written by the holder of the lease only.
    "fail": {
        "mine": "failed a",
        "expired": "failed a",
        "released": RELEASED,
        "canceling": "failed a",
        "leased by b": BY_B,
        "succeeded": SUCCEEDED,
        "failed": FAILED_BY_B,
        "canceled": CANCELED_BY_B,
        "deleting": f"{NONE}, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, Gone",
    },
    "cancel": {
        "mine": "canceled a",
        "expired": "canceled a",
        "released": RELEASED,
        "canceling": "canceled a",
        "leased by b": BY_B,
        "succeeded": SUCCEEDED,
        "failed": FAILED_BY_B,
        "canceled": CANCELED_BY_B,
        "deleting": f"{NONE}, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, Gone",
    },
    # No model is called without a trace in the record, and none for a generation that is another process's, or over.
    "start": {
        "mine": "running a, started",
        "expired": "running a, started",
        "released": f"{RELEASED}, LeasedElsewhere",
        "canceling": f"{MINE}, cancel requested, CancelRequested",
        "leased by b": f"{BY_B}, LeasedElsewhere",
        "succeeded": f"{SUCCEEDED}, LeasedElsewhere",
        "failed": f"{FAILED_BY_B}, LeasedElsewhere",
        "canceled": f"{CANCELED_BY_B}, LeasedElsewhere",
        "deleting": "deleting a, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, Gone",
    },
    # A lease that expired is renewed as long as no other process has taken it; so is that of a deletion.
    "renew": {
        "mine": "running a, renewed",
        "expired": "running a, renewed",
        "released": f"{RELEASED}, LeaseLost",
        "canceling": f"{MINE}, renewed, cancel requested, CancelRequested",
        "leased by b": f"{BY_B}, LeaseLost",
        "succeeded": f"{SUCCEEDED}, LeaseLost",
        "failed": f"{FAILED_BY_B}, LeaseLost",
        "canceled": f"{CANCELED_BY_B}, LeaseLost",
        "deleting": "deleting a, renewed",
        "removed": f"{NONE}, LeaseLost",
        "key reused": f"{OTHER}, LeaseLost",
    },
    "release": {
        "mine": RELEASED,
        "expired": RELEASED,
        "released": RELEASED,
        "canceling": f"{RELEASED}, cancel requested",
        "leased by b": BY_B,
        "succeeded": SUCCEEDED,
        "failed": FAILED_BY_B,
        "canceled": CANCELED_BY_B,
        "deleting": "deleting a",
        "removed": NONE,
        "key reused": OTHER,
    },
    # The lease is free once it is given back or has expired: a version that says so is compared with what is stored.
    "claim": {
        "mine": NEW_LEASE,
        "expired": NEW_LEASE,
        "released": NEW_LEASE,
        "canceling": f"{MINE}, cancel requested, LeasedElsewhere",
        "leased by b": f"{BY_B}, LeasedElsewhere",
        "succeeded": SUCCEEDED,
        "failed": FAILED_BY_B,
        "canceled": CANCELED_BY_B,
        "deleting": "deleting a, Gone",
        "removed": f"{NONE}, Gone",
        "key reused": f"{OTHER}, LeasedElsewhere",
    },
    # Only what runs can be canceled. Where no process has the lease, the one that was asked ends it.
    "request_cancel": {
        "mine": f"{MINE}, cancel requested",
        "expired": "canceled new",
        "released": "canceled new",
        "canceling": f"{MINE}, cancel requested",
        "leased by b": f"{BY_B}, cancel requested",
        "succeeded": SUCCEEDED,
        "failed": FAILED_BY_B,
        "canceled": CANCELED_BY_B,
        "deleting": "deleting a, NotFound",
        "removed": f"{NONE}, NotFound",
        "key reused": f"{OTHER}, cancel requested",
    },
    # While a process runs it the record stays, hidden: that process may still store an image.
    "delete": {
        "mine": "deleting a",
        "expired": NONE,
        "released": NONE,
        "canceling": "deleting a",
        "leased by b": "deleting b",
        "succeeded": NONE,
        "failed": NONE,
        "canceled": NONE,
        "deleting": "deleting a, NotFound",
        "removed": f"{NONE}, NotFound",
        "key reused": "deleting b",
    },
    # It is run again from the version that was read, or not at all.
    "reopen": {
        "mine": RELEASED,
        "expired": f"{MINE}, Changed",
        "released": f"{RELEASED}, Changed",
        "canceling": f"{MINE}, cancel requested, Changed",
        "leased by b": f"{BY_B}, Changed",
        "succeeded": f"{SUCCEEDED}, Changed",
        "failed": f"{FAILED_BY_B}, Changed",
        "canceled": f"{CANCELED_BY_B}, Changed",
        "deleting": "deleting a, Changed",
        "removed": f"{NONE}, Changed",
        "key reused": f"{OTHER}, Changed",
    },
}


def test_the_table_has_every_action_in_every_state() -> None:
    assert set(TABLE) == set(ACTIONS)
    assert all(set(row) == set(STATES) for row in TABLE.values())


@pytest.mark.parametrize(("action", "state"), [(action, state) for action in TABLE for state in TABLE[action]])
async def test_transition(action: str, state: str) -> None:
    process = Process()
    record = await process.leases.create(new_record(process), queued=False)
    await STATES[state](process.store, record)
    assert await outcome(process, record, ACTIONS[action]) == TABLE[action][state]


@pytest.mark.parametrize("action", [succeed, recover])
@pytest.mark.parametrize("state", STATES)
async def test_an_image_is_there_exactly_where_the_record_names_it(state: str, action: Action) -> None:
    """Where another image counts, or nothing does, the image of A is deleted."""
    process = Process()
    record = await process.leases.create(new_record(process), queued=False)
    await STATES[state](process.store, record)
    await outcome(process, record, action)
    named = [
        each["outputImageUrl"].rsplit("/", 1)[-1] for each in process.store.generations.all if each["outputImageUrl"]
    ]
    assert process.store.images() == [name for name in named if name != "another.png"]


@pytest.mark.parametrize("action", [succeed, fail, cancel])
async def test_end_keeps_the_timings_and_the_turn_of_its_run_where_another_process_has_changed_the_record(
    action: Action,
) -> None:
    process = Process()
    record = await process.leases.create(new_record(process), queued=False)
    turn = StoredTurn("turn", MODEL, 1, 1, 1, ()) if action is succeed else None
    timed = replace(record, timings={"total": 5}, turn=turn)
    await process.store.write(replace(record, cancel_requested_at=record.created_at))
    await process.fake_clock.run(action(process, timed))
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.timings, stored.turn, stored.cancel_requested_at) == ({"total": 5}, turn, record.created_at)


@pytest.mark.parametrize("action", [succeed, fail, cancel])
async def test_line_of_a_generation_that_was_deleted_meanwhile_has_the_timings_of_its_run(
    action: Action, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    record = await process.leases.create(new_record(process), queued=False)
    await process.store.write(record.deleting(later(record), leased=True))
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        await outcome(process, replace(record, timings={"total": 5}), action)
    assert '"durationMs": {"total": 5}' in caplog.text


def new_record(process: Process) -> Record:
    """Return a record that is not stored yet."""
    return Record(
        id="gen-key-1",
        user_id=ADA.id,
        prompt="a watercolor",
        input_images=(),
        inputs=(),
        options=Options(),
        created_at=process.fake_clock.now(),
        request_hash="hash",
        blob_stem="generated-mine",
        expected_usd=0.2,
    )


async def outcome(process: Process, record: Record, action: Action) -> str:
    """Act; say what is stored then, and what was raised."""
    raised = ""
    try:
        await process.fake_clock.run(action(process, record))
    except (Gone, LeasedElsewhere, LeaseLost, CancelRequested, Changed, NotFound, StorageUnavailable) as error:
        raised = f", {type(error).__name__}"
        if isinstance(error, Gone) and error.record_id != record.id:
            raised += " without its id"
    await process.fake_clock.settle()
    return described(process.store, record) + raised


def described(store: Store, record: Record) -> str:
    """Say what is stored: status, owner of the lease, and what changed since `record` was read."""
    stored = store.record(record.id)
    if stored is None:
        return NONE
    requested = ", cancel requested" if stored.canceling else ""
    if stored.blob_stem != record.blob_stem and stored.status is Status.RUNNING:
        return OTHER + requested
    owners = {record.lease_owner: "a", "b": "b", None: "-"}
    mine = stored.lease_owner == record.lease_owner
    started = ", started" if mine and stored.run_id != record.run_id else ""
    assert record.lease_expires_at is not None
    renewed = ", renewed" if stored.lease_expires_at == record.lease_expires_at + timedelta(seconds=20) else ""
    return f"{stored.status} {owners.get(stored.lease_owner, 'new')}{started}{renewed}{requested}"
