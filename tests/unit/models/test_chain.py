"""Retries of the chain: which model is called, how often and after which wait, and the error at the end."""

import asyncio
from asyncio import CancelledError

import pytest

from image_core.clock import Clock
from image_core.errors import (
    DeadlineExceeded,
    ModelAuthFailed,
    ModelError,
    ModelFailed,
    ModelUnavailable,
    NoImage,
    RateLimited,
    Refused,
)
from image_core.models.build import build_models
from image_core.models.generated import Attempt, Options
from image_core.settings import Settings
from local.gemini.script import Scripted, finished, overloaded, problem, rate_limited
from local.gemini.server import FakeGemini
from tests.support.eventually import eventually
from tests.support.model_chain import LITE, NEXT, PRO, ChainRig, FakeInputs, make


async def test_image_of_the_first_model_is_returned_after_one_call(rig: ChainRig) -> None:
    made = await rig.generate()
    assert made.model == PRO
    assert rig.models == [PRO]
    assert made.image.mime_type == "image/png"
    assert (made.attempts[0].outcome, made.attempts[0].usage) == ("ok", made.usage)
    assert rig.slept == []


async def test_images_come_before_the_prompt(fake_gemini: FakeGemini, rig: ChainRig) -> None:
    await rig.generate("paint it")
    call = fake_gemini.calls[0]
    assert (call.inputs, call.prompt) == (1, "paint it")


async def test_timeout_is_sent_to_the_service(fake_gemini: FakeGemini, rig: ChainRig) -> None:
    await rig.generate(seconds=42)
    assert 30 <= float(fake_gemini.calls[0].timeout or 0) <= 42


TEMPORARY = [
    (overloaded(), "model_unavailable"),
    (Scripted(500, problem(500, "INTERNAL", "An internal error has occurred.")), "model_unavailable"),
    (Scripted(502, "<html>Bad Gateway</html>"), "model_unavailable"),
    (Scripted(504, problem(504, "DEADLINE_EXCEEDED", "x")), "model_unavailable"),
    (Scripted(529, "{}"), "model_unavailable"),
    (Scripted(503, "null"), "model_unavailable"),
    (Scripted(503, "[" * 100_000), "model_unavailable"),
    (rate_limited(), "rate_limited"),
    (Scripted(cut="before"), "connection_lost"),
    (Scripted(cut="headers"), "connection_lost"),
    (Scripted(cut="body"), "connection_lost"),
    (Scripted(200, "<html>hello</html>"), "invalid_reply"),
    (Scripted(200, "[" * 100_000), "invalid_reply"),
    (Scripted(200, {"candidates": [{"content": {"parts": {}}}]}), "no_image"),
    (Scripted(301, ""), "invalid_reply"),
    (Scripted(200, {}), "no_image"),
    (finished("NO_IMAGE"), "no_image"),
    (finished("IMAGE_OTHER"), "no_image"),
    (finished("STOP", {"text": "Here is what I would paint."}), "no_image"),
]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    TEMPORARY,
    ids=[f"{reply.status} {outcome} {number}" for number, (reply, outcome) in enumerate(TEMPORARY)],
)
async def test_temporary_error_is_retried_once_with_the_same_model(
    rig: ChainRig, reply: Scripted, outcome: str
) -> None:
    rig.fake_gemini.script.add(Scripted(reply.status, reply.body, cut=reply.cut))
    made = await rig.generate()
    assert rig.models == [PRO, PRO]
    assert [attempt.outcome for attempt in made.attempts] == [outcome, "ok"]
    assert len(rig.slept) == 1
    assert 0 <= rig.slept[0] <= 2


async def test_request_on_a_broken_connection_is_not_repeated_by_the_sdk(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(*(Scripted(cut="before") for _ in range(6)))
    with pytest.raises(ModelUnavailable):
        await rig.generate()
    assert len(rig.fake_gemini.calls) == 6
    assert rig.outcomes == [(model, "connection_lost") for model in (PRO, PRO, NEXT, NEXT, LITE, LITE)]


async def test_next_model_is_called_at_once_when_the_attempts_are_used_up(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(overloaded(), overloaded())
    made = await rig.generate()
    assert rig.models == [PRO, PRO, NEXT]
    assert made.model == NEXT
    assert len(rig.slept) == 1


async def test_retry_delay_that_fits_the_deadline_is_waited_for(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(rate_limited(17))
    await rig.generate(seconds=60)
    assert rig.slept == [17]
    assert rig.models == [PRO, PRO]


async def test_retry_delay_beyond_the_deadline_leads_to_the_next_model(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(rate_limited(55))
    made = await rig.generate(seconds=60)
    assert rig.slept == []
    assert rig.models == [PRO, NEXT]
    assert made.model == NEXT


async def test_quota_used_up_by_all_models_gives_the_shortest_retry_after(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(*(rate_limited(100 + number) for number in range(3)))
    with pytest.raises(RateLimited) as caught:
        await rig.generate()
    assert caught.value.retry_after == 100  # the first model with quota again suffices


async def test_retry_after_is_rounded_up(fake_gemini: FakeGemini) -> None:
    rig = await make(fake_gemini, GEMINI_MODELS=PRO)
    fake_gemini.script.add(rate_limited(1.2), rate_limited(40.4))
    with pytest.raises(RateLimited) as caught:
        await rig.generate(seconds=45)
    assert rig.slept == [1.2]
    assert caught.value.retry_after == 41
    await rig.chain.close()


async def test_rate_limit_without_a_retry_delay_still_gives_a_retry_after(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(*(rate_limited() for _ in range(6)))
    with pytest.raises(RateLimited) as caught:
        await rig.generate()
    assert caught.value.retry_after is not None


@pytest.mark.parametrize(
    ("reply", "kind", "outcome"),
    [
        (
            Scripted(400, problem(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")),
            ModelFailed,
            "model_error",
        ),
        (Scripted(401, problem(401, "UNAUTHENTICATED", "x")), ModelAuthFailed, "model_auth_failed"),
        (Scripted(403, problem(403, "PERMISSION_DENIED", "x")), ModelAuthFailed, "model_auth_failed"),
        (finished("SAFETY"), Refused, "refused"),
    ],
    ids=["400", "401", "403", "refusal"],
)
async def test_permanent_error_is_neither_retried_nor_sent_to_another_model(
    rig: ChainRig, reply: Scripted, kind: type[ModelError], outcome: str
) -> None:
    rig.fake_gemini.script.add(reply)
    with pytest.raises(kind):
        await rig.generate()
    assert rig.outcomes == [(PRO, outcome)]
    assert len(rig.fake_gemini.calls) == 1


async def test_error_for_a_rejected_request_does_not_quote_the_service(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(
        Scripted(400, problem(400, "INVALID_ARGUMENT", "The prompt 'my secret' at https://x?key=k"))
    )
    with pytest.raises(ModelFailed) as caught:
        await rig.generate("my secret")
    assert caught.value.details == "The model's service answered 400 INVALID_ARGUMENT: it does not accept this request"


@pytest.mark.parametrize("key", ["invalid", "revoked"])
async def test_refused_key_is_reported_and_not_retried(fake_gemini: FakeGemini, key: str) -> None:
    rig = await make(fake_gemini, GEMINI_API_KEY=key)
    with pytest.raises(ModelAuthFailed) as caught:
        await rig.generate()
    assert len(fake_gemini.calls) == 1
    assert caught.value.body()["retryable"] is False
    assert key not in str(caught.value.body())
    await rig.chain.close()


async def test_no_call_begins_with_less_than_ten_seconds_left(rig: ChainRig) -> None:
    with pytest.raises(DeadlineExceeded):
        await rig.generate(seconds=9)
    assert rig.fake_gemini.calls == []
    assert rig.attempts == []


async def test_no_second_attempt_begins_that_cannot_end_in_time(fake_gemini: FakeGemini) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s, although no attempt could follow")

    clock = Clock(monotonic=lambda: now + 52.0 * len(fake_gemini.calls), sleep=sleep)
    settings = Settings.read({"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url})
    models = build_models(settings, clock)
    fake_gemini.script.add(overloaded())
    attempts: list[Attempt] = []
    with pytest.raises(DeadlineExceeded):
        await models.chain.generate(FakeInputs(()), "x", Options(), clock.deadline(60), attempts.append)
    assert [(attempt.model, attempt.outcome) for attempt in attempts] == [(PRO, "model_unavailable")]
    assert len(fake_gemini.calls) == 1
    await models.close()


async def test_error_is_that_of_the_last_model_when_all_models_fail(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(*(overloaded() for _ in range(5)), finished("NO_IMAGE", {"text": "Sorry."}))
    with pytest.raises(NoImage) as caught:
        await rig.generate()
    assert caught.value.finish_reason == "NO_IMAGE"
    assert caught.value.text == "Sorry."
    assert len(rig.attempts) == 6


async def test_log_has_models_and_outcomes_and_nothing_of_the_request(
    rig: ChainRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    rig.fake_gemini.script.add(overloaded())
    await rig.generate("a secret prompt")
    assert any(PRO in record.getMessage() and "model_unavailable" in record.getMessage() for record in caplog.records)
    # asyncio and Pillow write records at DEBUG, too.
    written = [record.getMessage() for record in caplog.records if record.name.startswith(("image_core", "google"))]
    assert all("secret" not in line and rig.fake_gemini.url not in line for line in written)
    assert not [record for record in caplog.records if record.name.startswith("google") and record.levelname != "DEBUG"]


async def test_more_calls_than_aiohttps_usual_limit_of_100_run_at_once(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(Scripted(200, {}, delay=600, times=120))
    running = [asyncio.create_task(rig.generate()) for _ in range(120)]
    try:
        await eventually(lambda: len(rig.fake_gemini.calls) == 120)
    finally:
        for each in running:
            each.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    assert {type(result) for result in results} == {CancelledError}
