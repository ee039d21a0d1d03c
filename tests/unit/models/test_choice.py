"""The choice of models: the requested one first, without those that do not exist or cannot make the image."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from image_core.clock import Clock
from image_core.errors import InvalidRequest, ModelFailed, ModelUnavailable
from image_core.models.build import build_models
from image_core.models.generated import Options
from image_core.models.probe import ChainState, Probed, State, state_of_chain
from image_core.settings import Settings
from local.gemini.script import overloaded
from local.gemini.server import FakeGemini
from tests.support.model_chain import LITE, NEXT, PRO, ChainRig, make


async def test_requested_model_is_called_first_and_then_the_chain(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(overloaded(), overloaded())
    made = await rig.generate(model=LITE)
    assert rig.models == [LITE, LITE, PRO]
    assert made.model == PRO


async def test_model_that_is_not_in_the_chain_is_refused(rig: ChainRig) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rig.chain.check_options(Options(model="gpt-5"))
    assert caught.value.field == "model"


async def test_model_that_does_not_exist_is_skipped_for_an_hour(fake_gemini: FakeGemini) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    settings = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url, "GEMINI_MODELS": f"gone-1,{LITE}"}
    clock = Clock(now=lambda: now)
    models = build_models(Settings.read(settings), clock)
    rig = ChainRig(models, fake_gemini, clock)
    made = await rig.generate()
    assert [(attempt.model, attempt.outcome) for attempt in made.attempts] == [("gone-1", "not_found"), (LITE, "ok")]
    await rig.generate()
    assert rig.models == ["gone-1", LITE, LITE]
    assert models.availability.gone() == {"gone-1": now}
    now += timedelta(hours=1)
    await rig.generate()
    assert rig.models[-2:] == ["gone-1", LITE]
    await models.close()


async def test_chain_of_models_that_do_not_exist_fails(fake_gemini: FakeGemini) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS="gone-1,gone-2")
    for _ in range(2):  # known from the first time, they are called again: there is no other model
        with pytest.raises(ModelFailed):
            await rig.generate()
        assert [outcome for _, outcome in rig.outcomes] == ["not_found", "not_found"]
    await rig.chain.close()


@pytest.mark.parametrize(
    ("models", "options", "called", "skipped"),
    [
        (f"{LITE},{PRO}", {"image_size": "2K"}, [PRO], f"{LITE} makes 1K, not 2K"),
        (f"{PRO},{NEXT}", {"aspect_ratio": "1:8"}, [NEXT], f"{PRO} does not make 1:8"),
        # A requested model is skipped like any other.
        (f"{PRO},{LITE}", {"image_size": "2K", "model": LITE}, [PRO], f"{LITE} makes 1K, not 2K"),
        # A model after the one that answered is not mentioned.
        (f"{PRO},{LITE}", {"image_size": "2K"}, [PRO], None),
        # The catalog does not know this model: the service decides.
        (f"gemini-4-image,{PRO}", {"image_size": "2K"}, ["gemini-4-image"], None),
    ],
)
async def test_model_that_cannot_make_the_image_is_skipped_with_a_warning(
    fake_gemini: FakeGemini, models: str, options: dict[str, Any], called: list[str], skipped: str | None
) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=models)
    made = await rig.generate(**options)
    assert rig.models == called
    assert made.warnings == (() if skipped is None else (f"model_skipped: {skipped}",))
    await rig.chain.close()


async def test_models_that_cannot_make_the_size_are_not_called_when_the_others_fail(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(*(overloaded() for _ in range(4)))
    with pytest.raises(ModelUnavailable) as caught:
        await rig.generate(image_size="4K")
    assert rig.models == [PRO, PRO, NEXT, NEXT]
    assert caught.value.warnings == (f"model_skipped: {LITE} makes 1K, not 4K",)


@pytest.mark.parametrize(
    ("models", "options", "inputs", "field"),
    [
        (LITE, {"image_size": "2K"}, 1, "imageSize"),
        (f"{PRO},{LITE}", {"aspect_ratio": "4:1"}, 1, "aspectRatio"),
        (f"{PRO},{NEXT}", {}, 15, "images"),
        (f"{PRO},{NEXT}", {"model": "gpt-5"}, 1, "model"),
        (f"{PRO},gemini-4-image", {"aspect_ratio": "4:1", "image_size": "2K"}, 99, None),
    ],
)
async def test_request_that_no_model_can_fulfil_is_refused_with_its_field(
    fake_gemini: FakeGemini, models: str, options: dict[str, Any], inputs: int, field: str | None
) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=models)
    if field is None:
        rig.chain.check_options(Options(**options), inputs)
    else:
        with pytest.raises(InvalidRequest) as caught:
            rig.chain.check_options(Options(**options), inputs)
        assert caught.value.field == field
        assert all(model in str(caught.value.details) for model in models.split(","))
    await rig.chain.close()


OLD_DEFAULT = "gemini-3-pro-image-preview,gemini-3-pro-image,gemini-2.5-flash-image"


async def test_retired_names_in_the_setting_mean_their_successors(fake_gemini: FakeGemini) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=OLD_DEFAULT)
    rig.fake_gemini.script.add(overloaded(), overloaded())
    made = await rig.generate()
    assert rig.models == [PRO, PRO, LITE]
    assert [warning.split(":")[0] for warning in made.warnings] == ["model_retired", "model_retired"]
    assert f"gemini-2.5-flash-image was shut down on 2026-10-02; {LITE} takes its place" in made.warnings[1]
    await rig.chain.close()


async def test_retired_name_in_a_request_means_its_successor(rig: ChainRig) -> None:
    rig.chain.check_options(Options(model="gemini-2.5-flash-image"), 1)
    made = await rig.generate(model="gemini-2.5-flash-image")
    assert (rig.models, made.model) == ([LITE], LITE)
    assert [warning.split(":")[0] for warning in made.warnings] == ["model_retired"]


async def test_retired_name_whose_successor_cannot_make_the_image_gives_two_warnings(rig: ChainRig) -> None:
    made = await rig.generate(model="gemini-2.5-flash-image", image_size="2K")
    assert made.model == PRO
    assert [warning.split(":")[0] for warning in made.warnings] == ["model_retired", "model_skipped"]
    assert rig.chain.warnings(Options(model="gemini-2.5-flash-image", image_size="2K"), 1) == made.warnings


async def test_name_is_retired_by_the_clock_and_not_by_the_release(fake_gemini: FakeGemini) -> None:
    settings = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url, "GEMINI_MODELS": OLD_DEFAULT}
    days: list[datetime] = [datetime(2026, 6, 24, 23, 59, tzinfo=UTC)]
    models = build_models(Settings.read(settings), Clock(now=lambda: days[-1]))
    assert models.chain.models() == ("gemini-3-pro-image-preview", PRO, "gemini-2.5-flash-image")
    days.append(datetime(2026, 6, 25, tzinfo=UTC))
    assert models.chain.models() == (PRO, "gemini-2.5-flash-image")
    days.append(datetime(2026, 10, 2, tzinfo=UTC))
    assert models.chain.models() == (PRO, LITE)
    await models.close()


@pytest.mark.parametrize(("day", "lines"), [(28, 0), (29, 1), (30, 1)])
async def test_coming_retirement_is_logged_once(
    fake_gemini: FakeGemini, caplog: pytest.LogCaptureFixture, day: int, lines: int
) -> None:
    names = f"{PRO},gemini-3.1-flash-image"
    settings = Settings.read(
        {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url, "GEMINI_MODELS": names}
    )
    clock = Clock(now=lambda: datetime(2026, 9, day, tzinfo=UTC))
    models = build_models(settings, clock)
    rig = ChainRig(models, fake_gemini, clock)
    for _ in range(2):
        await rig.generate()
    found = [record.getMessage() for record in caplog.records if "retires on" in record.getMessage()]
    assert found == [f"gemini-3.1-flash-image retires on 2026-10-29: replace it by {NEXT} in GEMINI_MODELS"] * lines
    await models.close()


async def test_requested_model_that_no_longer_exists_gives_a_warning(fake_gemini: FakeGemini) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=f"{PRO},gone-1")
    first = await rig.generate(model="gone-1")
    assert [(attempt.model, attempt.outcome) for attempt in first.attempts] == [("gone-1", "not_found"), (PRO, "ok")]
    second = await rig.generate(model="gone-1")
    assert second.warnings == ("model_gone: gone-1 does not exist any more",)
    assert [attempt.model for attempt in second.attempts] == [PRO]
    await rig.chain.close()


async def test_probe_costs_nothing_and_names_models_that_do_not_exist(fake_gemini: FakeGemini) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=f"{PRO},gone-1")
    assert await rig.built.describe(5) == [Probed(PRO, State.OK), Probed("gone-1", State.GONE, "status 404")]
    assert fake_gemini.billed_usd == 0
    await rig.chain.close()


class Gateway:
    """A server that forwards generations to the fake Gemini, and has no other route."""

    def __init__(self, fake_gemini: FakeGemini, status: int) -> None:
        self.fake_gemini, self.status = fake_gemini, status
        self.url = ""

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response({"detail": "Not Found"}, status=self.status)
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.fake_gemini.url + request.path, data=await request.read(), headers=KEY) as response,
        ):
            return web.Response(body=await response.read(), status=response.status, content_type="application/json")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=50_000_000)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


KEY = {"x-goog-api-key": "key", "Content-Type": "application/json"}


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_gateway_without_a_route_for_descriptions_is_unknown_and_generates(
    fake_gemini: FakeGemini, status: int
) -> None:
    async with Gateway(fake_gemini, status).running() as url:
        rig = await make(fake_gemini, GOOGLE_GEMINI_BASE_URL=url)
        assert {each.state for each in await rig.built.describe(5)} == {State.UNKNOWN}
        assert (await rig.generate()).model == PRO
        await rig.chain.close()


async def test_gateway_that_is_down_is_down(fake_gemini: FakeGemini) -> None:
    async with Gateway(fake_gemini, 503).running() as url:
        rig = await make(fake_gemini, GOOGLE_GEMINI_BASE_URL=url)
        assert {(each.state, each.reason) for each in await rig.built.describe(5)} == {(State.DOWN, "status 503")}
        await rig.chain.close()


def probed(*states: State) -> list[Probed]:
    return [Probed(f"model-{number}", state) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "chain"),
    [
        ([State.OK], ChainState.OK),
        ([State.OK, State.DOWN, State.GONE], ChainState.OK),
        ([State.DOWN, State.OK], ChainState.DEGRADED),
        ([State.NO_QUOTA, State.GONE, State.OK], ChainState.DEGRADED),
        ([State.UNKNOWN, State.UNKNOWN], ChainState.UNKNOWN),
        ([State.GONE, State.UNKNOWN], ChainState.UNKNOWN),
        ([State.DOWN], ChainState.DOWN),
        ([State.GONE, State.NO_QUOTA], ChainState.DOWN),
    ],
)
def test_chain_is_up_if_one_model_answers_and_degraded_if_the_first_does_not(
    states: list[State], chain: ChainState
) -> None:
    assert state_of_chain(probed(*states)) is chain
