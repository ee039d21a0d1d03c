"""Which of the models are asked: the one that was named, those that are there, those that make the size."""

from datetime import UTC, datetime, timedelta

import pytest

from image_core.clock import Clock
from image_core.errors import InvalidRequest, ModelFailed, ModelUnavailable
from image_core.generated import Options
from image_core.model.chain import ModelChain
from image_core.settings import Settings
from local.gemini.script import overloaded
from local.gemini.server import Standin
from tests.model.conftest import FLASH, NEXT, PRO, Bench, make, outcomes


async def test_the_asked_model_goes_first_and_the_chain_stands_behind_it(bench: Bench) -> None:
    bench.standin.script.add(overloaded(), overloaded())
    made = await bench.generate(model=FLASH)
    assert bench.models == [FLASH, FLASH, PRO]
    assert made.model == PRO


async def test_a_model_that_is_not_in_the_chain_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRequest) as caught:
        bench.chain.check_options(Options(model="gpt-5"))
    assert caught.value.field == "model"


async def test_a_model_that_is_gone_is_remembered_for_an_hour(standin: Standin) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    settings = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": standin.url, "GEMINI_MODELS": f"gone-1,{FLASH}"}
    clock = Clock(now=lambda: now)
    chain = ModelChain(Settings.read(settings), clock)
    bench = Bench(chain, standin, clock)
    made = await bench.generate()
    assert [(attempt.model, attempt.outcome) for attempt in made.attempts] == [("gone-1", "not_found"), (FLASH, "ok")]
    await bench.generate()
    assert bench.models == ["gone-1", FLASH, FLASH]
    assert chain.retired() == {"gone-1": now}
    now += timedelta(hours=1)
    await bench.generate()
    assert bench.models[-2:] == ["gone-1", FLASH]
    await chain.close()


async def test_when_every_model_is_gone_that_is_said(standin: Standin) -> None:
    bench = await make(standin, GEMINI_MODELS="gone-1,gone-2")
    for _ in range(2):  # the second time they are remembered, and asked all the same: there is nobody else
        with pytest.raises(ModelFailed) as caught:
            await bench.generate()
        assert [outcome for _, outcome in outcomes(caught.value)] == ["not_found", "not_found"]
    await bench.chain.close()


async def test_a_size_that_a_model_cannot_do_goes_to_one_that_can(bench: Bench) -> None:
    bench.standin.script.add(*(overloaded() for _ in range(4)))
    with pytest.raises(ModelUnavailable):
        await bench.generate(image_size="4K")
    assert bench.models == [PRO, PRO, NEXT, NEXT]


async def test_a_model_that_is_passed_over_for_its_size_is_told_where_its_turn_came(standin: Standin) -> None:
    bench = await make(standin, GEMINI_MODELS=f"{FLASH},{PRO}")
    made = await bench.generate(image_size="4K")
    assert (bench.models, made.model) == ([PRO], PRO)
    assert made.warnings == (f"model_skipped: {FLASH} makes at most 1K, not 4K",)
    await bench.chain.close()


async def test_a_model_behind_the_one_that_answered_is_nobodys_business(bench: Bench) -> None:
    made = await bench.generate(image_size="4K")
    assert (made.picture.width, made.model, made.warnings) == (5056, PRO, ())


async def test_a_model_that_was_asked_for_makes_its_largest_and_says_so(bench: Bench) -> None:
    made = await bench.generate(model=FLASH, image_size="4K", aspect_ratio="16:9")
    assert made.model == FLASH
    assert bench.standin.calls[0].image_config == {"aspectRatio": "16:9", "imageSize": "1K"}
    assert (made.picture.width, made.picture.height) == (1344, 768)
    assert made.warnings == (f"size_reduced: {FLASH} makes at most 1K, not 4K",)


async def test_a_size_that_was_reduced_for_nothing_is_not_told(bench: Bench) -> None:
    bench.standin.script.add(overloaded(), overloaded())
    made = await bench.generate(model=FLASH, image_size="4K")
    assert (made.model, made.picture.width, made.warnings) == (PRO, 5056, ())


async def test_where_no_model_makes_the_size_the_largest_is_made(standin: Standin) -> None:
    bench = await make(standin, GEMINI_MODELS=FLASH)
    made = await bench.generate(image_size="2K")
    assert made.warnings == (f"size_reduced: {FLASH} makes at most 1K, not 2K",)
    await bench.chain.close()


async def test_a_model_that_was_asked_for_and_is_gone_is_told(standin: Standin) -> None:
    bench = await make(standin, GEMINI_MODELS=f"{PRO},gone-1")
    first = await bench.generate(model="gone-1")
    assert [(attempt.model, attempt.outcome) for attempt in first.attempts] == [("gone-1", "not_found"), (PRO, "ok")]
    second = await bench.generate(model="gone-1")
    assert second.warnings == ("model_gone: gone-1 is not there any more",)
    assert [attempt.model for attempt in second.attempts] == [PRO]
    await bench.chain.close()


async def test_probing_costs_nothing_and_names_what_is_gone(standin: Standin) -> None:
    bench = await make(standin, GEMINI_MODELS=f"{PRO},gone-1")
    assert await bench.chain.probe(5) == [(PRO, True, ""), ("gone-1", False, "status 404")]
    assert standin.billed_usd == 0
    await bench.chain.close()
