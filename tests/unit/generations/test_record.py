"""What each transition makes of a record, field by field."""

from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.errors import Canceled, NoImage
from image_core.generations.durations import Durations
from image_core.generations.failure import Failure
from image_core.generations.ledger_entries import delivered_entries, entries
from image_core.generations.record import (
    MAX_ATTEMPTS,
    MAX_TEXT_BYTES,
    WARNING_RECOVERED,
    Record,
    Status,
    StoredTurn,
    bounded,
    cut,
    total,
)
from image_core.generations.record_codec import to_document
from image_core.models.generated import OK, Attempt, Generated, Options, Usage
from image_core.models.prices import budget_usd, expected_usd
from tests.support.domain import ADA, image
from tests.support.fakes.clock import START
from tests.support.fakes.model import MODEL
from tests.support.records import make

LATER = START + timedelta(minutes=1)
USAGE = Usage(10, 20, 0.5, {"TEXT": 10}, {"IMAGE": 20})
MADE = Attempt(MODEL, OK, 1, USAGE, START, "run-0")
REFUSED = Attempt("another", "no_image", 1, Usage(1, 2, 0.1, {"TEXT": 1}, {"TEXT": 2}), START, "run-1")
UNBILLED = Attempt(MODEL, "model_unavailable", 1, None, START, "run-2")
TURN = StoredTurn("t", MODEL, 1, 0, 1, ())


def failed(**changes: object) -> Record:
    """Return a generation that ran twice and failed."""
    record = make(ADA, attempt_count=2, lost_claims=1, run_id="run", cancel_requested_at=START, timings={"model": 1})
    return replace(record.failed(Failure.of(NoImage()), (REFUSED,), ("w",), START), **changes)  # type: ignore[arg-type] # fields


def test_reopened_generation_begins_from_nothing_but_its_calls() -> None:
    record = failed()
    expected = replace(
        make(ADA, lease_owner="b", lease_expires_at=LATER, expected_usd=0.2),
        attempts=(REFUSED,),
        usage=REFUSED.usage,
        warnings=("w",),
    )
    assert record.reopened("b", LATER, 0.2) == expected


def test_claimed_generation_counts_the_process_that_had_it() -> None:
    record = make(ADA, lost_claims=1)
    assert record.claimed("b", LATER) == replace(record, lease_owner="b", lease_expires_at=LATER, lost_claims=2)
    free = replace(record, lease_owner=None)
    assert free.claimed("b", LATER) == replace(free, lease_owner="b", lease_expires_at=LATER)


def test_started_generation_has_a_new_run_and_the_lost_call_of_the_one_before() -> None:
    record = make(ADA, run_id="run", attempt_count=1, expected_usd=0.2)
    assert record.started("next", LATER) == replace(
        record,
        run_id="next",
        attempt_count=2,
        attempts=(Attempt("unknown", "lost", 0, None, LATER, "run-lost", 0.2),),
    )


def test_released_generation_has_no_lease_and_is_due_at_once() -> None:
    record = make(ADA)
    assert record.released(LATER) == replace(record, lease_owner=None, lease_expires_at=LATER)


@pytest.mark.parametrize(("leased", "owner"), [(True, "me"), (False, None)])
def test_hidden_generation_keeps_its_lease_where_a_process_runs_it(leased: bool, owner: str | None) -> None:
    record = make(ADA)
    hidden = replace(record, status=Status.DELETING, lease_owner=owner, lease_expires_at=LATER)
    assert record.deleting(LATER, leased=leased) == hidden


@pytest.mark.parametrize("in_context", [True, False])
def test_succeeded_generation_has_its_image_and_what_all_its_calls_cost(in_context: bool) -> None:
    record = failed(context=(TURN,))
    generated = Generated(image(side=6), "a text", MODEL, Usage(1), (MADE,), ("v",), in_context=in_context)
    assert record.succeeded("/x.png", generated, "b", LATER) == replace(
        record,
        status=Status.SUCCEEDED,
        output_image_url="/x.png",
        model=MODEL,
        mime_type="image/png",
        width=6,
        height=6,
        text="a text",
        usage=total((REFUSED, MADE)),
        attempts=(REFUSED, MADE),
        failure=None,
        warnings=("v",),
        context=(TURN,) if in_context else (),
        completed_at=LATER,
        lease_owner="b",
        lease_expires_at=None,
    )
    unbilled = replace(generated, attempts=())
    assert make(ADA).succeeded("/x.png", unbilled, "b", LATER).usage == Usage(1)


def test_canceled_generation_has_what_was_billed() -> None:
    record = make(ADA, attempts=(MADE,))
    failure = Failure.of(Canceled())
    canceled = record.canceled(failure, (REFUSED,), LATER)
    assert canceled == replace(record.failed(failure, (REFUSED,), (), LATER), status=Status.CANCELED)
    assert (canceled.completed_at, canceled.warnings) == (LATER, ())


def test_billed_calls_are_added_once_and_summed() -> None:
    record = make(ADA, attempts=(MADE,))
    assert record.billed((MADE, REFUSED)) == replace(record, attempts=(MADE, REFUSED), usage=total((MADE, REFUSED)))


def test_generation_that_is_run_again_keeps_at_most_the_newest_attempts() -> None:
    unbilled = tuple(replace(UNBILLED, id=f"run-{number}") for number in range(MAX_ATTEMPTS + 1))
    assert failed(attempts=unbilled).reopened(None, LATER, 0.2).attempts == unbilled[1:]


def test_recovered_generation_has_what_is_known_of_its_image() -> None:
    record = make(ADA, attempts=(MADE, REFUSED), run_id="run", context=(TURN,))
    recovered = record.recovered("/x.png", image(side=6), LATER)
    assert recovered == replace(
        record,
        status=Status.SUCCEEDED,
        output_image_url="/x.png",
        model=MODEL,
        usage=total((MADE, REFUSED)),
        mime_type="image/png",
        width=6,
        height=6,
        warnings=(WARNING_RECOVERED,),
        context=(),
        completed_at=LATER,
        lease_expires_at=None,
    )
    assert failed().recovered("/x.png", image(), LATER).failure is None


def test_failed_generation_has_its_warnings_and_what_was_billed() -> None:
    record = make(ADA, attempts=(MADE,))
    ended = record.failed(Failure.of(NoImage()), (MADE, REFUSED), ("w",), LATER)
    assert ended == replace(
        record,
        status=Status.FAILED,
        failure=Failure.of(NoImage()),
        attempts=(MADE, REFUSED),
        warnings=("w",),
        usage=total((MADE, REFUSED)),
        completed_at=LATER,
        lease_expires_at=None,
    )


def test_sum_of_attempts_is_unknown_where_a_price_is() -> None:
    assert total((MADE, REFUSED, UNBILLED)) == Usage(11, 22, 0.6, {"TEXT": 11}, {"IMAGE": 20, "TEXT": 2})
    unpriced = replace(REFUSED, usage=Usage(None, 2, None))
    assert total((MADE, unpriced)) == Usage(10, 22, None, {"TEXT": 10}, {"IMAGE": 20})
    assert total((MADE, replace(REFUSED, usage=Usage(1, None, 0.1)))) == Usage(11, 20, 0.6, {"TEXT": 10}, {"IMAGE": 20})
    assert total((UNBILLED,)) is None
    tiny = replace(MADE, usage=Usage(0, 0, 0.1000004))
    assert total((tiny, tiny)) == Usage(0, 0, 0.200001)


def test_attempts_that_were_not_billed_are_dropped_beyond_the_limit_oldest_first() -> None:
    unbilled = [replace(UNBILLED, id=f"run-{number}") for number in range(MAX_ATTEMPTS)]
    estimated = replace(UNBILLED, id="estimated", estimated_usd=0.1)
    attempts = (MADE, *unbilled[:2], estimated, *unbilled[2:])
    assert bounded(attempts) == (MADE, estimated, *unbilled[2:])
    assert bounded(tuple(unbilled)) == tuple(unbilled)
    assert len(bounded((MADE,) * (MAX_ATTEMPTS + 5))) == MAX_ATTEMPTS + 5


@pytest.mark.parametrize("text", ["a" * MAX_TEXT_BYTES, "a" + "ä" * (MAX_TEXT_BYTES // 2), "a" + "€" * MAX_TEXT_BYTES])
def test_text_is_cut_between_characters(text: str) -> None:
    kept = cut(text)
    assert text.startswith(kept)
    assert MAX_TEXT_BYTES - 3 < len(kept.encode()) <= MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"run_id": None}, ()),
        ({"attempts": (MADE,)}, ()),
        ({"attempts": (replace(MADE, outcome="canceled"),)}, ()),
        ({"attempts": (Attempt("m", "lost", 0, None, START, "run-lost", 0.2),)}, ()),
        ({"attempts": (REFUSED,)}, (Attempt("unknown", "lost", 0, None, LATER, "run-lost", 0.2),)),
        (
            {"attempts": (replace(MADE, id="earlier-0"),)},
            (Attempt("unknown", "lost", 0, None, LATER, "run-lost", 0.2),),
        ),
        ({"options": Options(model="m")}, (Attempt("m", "lost", 0, None, LATER, "run-lost", 0.2),)),
        ({"expected_usd": None}, (Attempt("unknown", "lost", 0, None, LATER, "run-lost", 0.0),)),
    ],
)
def test_call_of_a_process_that_died_counts_once(changes: dict[str, object], lost: tuple[Attempt, ...]) -> None:
    record = replace(make(ADA, run_id="run", expected_usd=0.2), **changes)  # type: ignore[arg-type] # fields
    assert record.lost(LATER) == lost


def test_entries_of_a_record_are_its_calls_that_may_have_been_billed() -> None:
    estimated = replace(UNBILLED, id="run-3", estimated_usd=0.2)
    old = replace(REFUSED, id=None, started_at=None)
    record = make(ADA, attempts=(MADE, UNBILLED, estimated, old), completed_at=LATER)
    found = entries(record)
    assert [(each.id, each.model, each.outcome, each.usd, each.budget_usd, each.time) for each in found] == [
        ("run-0", MODEL, OK, 0.5, 0.5, START),
        ("run-3", MODEL, "model_unavailable", None, 0.2, START),
        ("gen-1-3", "another", "no_image", 0.1, 0.1, LATER),
    ]
    assert {(each.user_id, each.generation_id) for each in found} == {(ADA.id, "gen-1")}
    assert [(each.input_tokens, each.output_tokens) for each in found] == [(10, 20), (None, None), (1, 2)]


def test_call_without_a_price_counts_as_the_most_expensive() -> None:
    usage = Usage(10, 20, None, {}, {"IMAGE": 20})
    record = make(ADA, attempts=(Attempt("another", OK, 1, usage, None, "run-0"),))
    (found,) = entries(record)
    assert (found.usd, found.budget_usd, found.time) == (None, budget_usd("another", usage), record.created_at)


def test_call_without_a_price_counts_at_the_price_of_its_model_and_an_estimate_of_nothing_as_nothing() -> None:
    cheap, usage = "gemini-3.1-flash-lite-image", Usage(10, 20, None, {}, {"IMAGE": 20})
    attempts = (Attempt(cheap, OK, 1, usage, START, "run-0"), Attempt(cheap, "lost", 0, None, START, "run-lost", 0.0))
    assert [each.budget_usd for each in entries(make(ADA, attempts=attempts))] == [budget_usd(cheap, usage), 0.0]
    assert budget_usd(cheap, usage) != budget_usd("another", usage)


@pytest.mark.parametrize("run_id", ["run", None])
def test_recovered_image_counts_as_the_most_expensive_of_its_size(run_id: str | None) -> None:
    options = Options(image_size="4K")
    record = make(ADA, run_id=run_id, attempts=(REFUSED,), options=options).recovered("/x.png", image(), LATER)
    _, found = entries(record)
    assert (found.id, found.model, found.outcome) == (f"{run_id or 'gen-1'}-recovered", "unknown", OK)
    assert (found.usd, found.budget_usd, found.time) == (None, expected_usd("unknown", "4K"), LATER)
    assert (found.user_id, found.generation_id) == (ADA.id, record.id)
    assert (found.input_tokens, found.output_tokens) == (None, None)
    assert len(entries(make(ADA, attempts=(MADE,)).recovered("/x.png", image(), LATER))) == 1
    assert len(entries(replace(record, completed_at=None))) == 2


def test_document_that_is_no_record_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture) -> None:
    good = (to_document(make(ADA, attempts=(each,))) for each in (MADE, REFUSED))
    documents = [next(good), {"id": "broken", "userId": "secret@example.com"}, next(good)]
    assert [each.id for each in delivered_entries(documents)] == ["run-0", "run-1"]
    assert "broken is no record: KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_durations_are_by_model_and_size() -> None:
    durations = Durations(lambda options: options.model or MODEL)
    durations.add(MODEL, "4K", 0.2)
    durations.add("another", "4K", 90)
    assert durations.expected(Options(image_size="4K")) == 1
    assert durations.expected(Options(model="another", image_size="4K")) == 90
    assert [durations.expected_of(MODEL, size) for size in (None, "1K", "2K", "8K")] == [25, 25, 30, 25]
    for seconds in (90, 10):
        for _ in range(21):
            durations.add("another", "4K", seconds)
    assert durations.expected_of("another", "4K") == 10
