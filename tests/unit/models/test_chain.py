"""Which model is asked, how often, after what wait; and what is said of it."""

import asyncio
import base64

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
from tests.support.harness import sample_image
from tests.support.model_chain import LITE, NEXT, PRO, ChainRig, FakeInputs, make


async def test_image_of_the_first_model_is_returned_after_one_call(bench: ChainRig) -> None:
    made = await bench.generate()
    assert made.model == PRO
    assert bench.models == [PRO]
    assert made.image.mime_type == "image/png"
    assert (made.attempts[0].outcome, made.attempts[0].usage) == ("ok", made.usage)
    assert bench.slept == []


async def test_the_images_come_first_and_the_prompt_last(fake_gemini: FakeGemini, bench: ChainRig) -> None:
    await bench.generate("paint it")
    call = fake_gemini.calls[0]
    assert (call.inputs, call.prompt) == (1, "paint it")


async def test_timeout_is_sent_to_the_service(fake_gemini: FakeGemini, bench: ChainRig) -> None:
    await bench.generate(seconds=42)
    assert 30 <= float(fake_gemini.calls[0].timeout or 0) <= 42


AGAIN = [
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
    AGAIN,
    ids=[f"{reply.status} {outcome} {number}" for number, (reply, outcome) in enumerate(AGAIN)],
)
async def test_temporary_error_is_retried_once_with_the_same_model(
    bench: ChainRig, reply: Scripted, outcome: str
) -> None:
    bench.fake_gemini.script.add(Scripted(reply.status, reply.body, cut=reply.cut))
    made = await bench.generate()
    assert bench.models == [PRO, PRO]
    assert [attempt.outcome for attempt in made.attempts] == [outcome, "ok"]
    assert len(bench.slept) == 1
    assert 0 <= bench.slept[0] <= 2


async def test_request_on_a_broken_connection_is_not_repeated_by_the_sdk(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(*(Scripted(cut="before") for _ in range(6)))
    with pytest.raises(ModelUnavailable):
        await bench.generate()
    assert len(bench.fake_gemini.calls) == 6
    assert bench.outcomes == [(model, "connection_lost") for model in (PRO, PRO, NEXT, NEXT, LITE, LITE)]


async def test_next_model_is_called_at_once_when_the_attempts_are_used_up(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(overloaded(), overloaded())
    made = await bench.generate()
    assert bench.models == [PRO, PRO, NEXT]
    assert made.model == NEXT
    assert len(bench.slept) == 1


async def test_a_retry_info_that_fits_is_waited_for(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(rate_limited(17))
    await bench.generate(seconds=60)
    assert bench.slept == [17]
    assert bench.models == [PRO, PRO]


async def test_a_retry_info_that_does_not_fit_leads_to_the_next_model(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(rate_limited(55))
    made = await bench.generate(seconds=60)
    assert bench.slept == []
    assert bench.models == [PRO, NEXT]
    assert made.model == NEXT


async def test_a_quota_that_is_used_up_everywhere_says_when_to_come_back(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(*(rate_limited(100 + number) for number in range(3)))
    with pytest.raises(RateLimited) as caught:
        await bench.generate()
    assert caught.value.retry_after == 100  # the first of them that has some again would do


async def test_a_time_to_come_back_is_never_too_early(fake_gemini: FakeGemini) -> None:
    bench = await make(fake_gemini, GEMINI_MODELS=PRO)
    fake_gemini.script.add(rate_limited(1.2), rate_limited(40.4))
    with pytest.raises(RateLimited) as caught:
        await bench.generate(seconds=45)
    assert bench.slept == [1.2]
    assert caught.value.retry_after == 41
    await bench.chain.close()


async def test_without_a_retry_info_there_is_still_a_time_to_come_back(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(*(rate_limited() for _ in range(6)))
    with pytest.raises(RateLimited) as caught:
        await bench.generate()
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
    bench: ChainRig, reply: Scripted, kind: type[ModelError], outcome: str
) -> None:
    bench.fake_gemini.script.add(reply)
    with pytest.raises(kind):
        await bench.generate()
    assert bench.outcomes == [(PRO, outcome)]
    assert len(bench.fake_gemini.calls) == 1


async def test_error_for_a_rejected_request_does_not_quote_the_service(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(
        Scripted(400, problem(400, "INVALID_ARGUMENT", "The prompt 'my secret' at https://x?key=k"))
    )
    with pytest.raises(ModelFailed) as caught:
        await bench.generate("my secret")
    assert caught.value.details == "The model's service answered 400 INVALID_ARGUMENT: it does not accept this request"


@pytest.mark.parametrize("key", ["invalid", "revoked"])
async def test_a_key_that_is_refused_is_said_and_not_retried(fake_gemini: FakeGemini, key: str) -> None:
    bench = await make(fake_gemini, GEMINI_API_KEY=key)
    with pytest.raises(ModelAuthFailed) as caught:
        await bench.generate()
    assert len(fake_gemini.calls) == 1
    assert caught.value.body()["retryable"] is False
    assert key not in str(caught.value.body())
    await bench.chain.close()


async def test_with_less_than_ten_seconds_left_nothing_is_begun(bench: ChainRig) -> None:
    with pytest.raises(DeadlineExceeded):
        await bench.generate(seconds=9)
    assert bench.fake_gemini.calls == []
    assert bench.attempts == []


async def test_no_second_attempt_is_begun_that_could_not_end(fake_gemini: FakeGemini) -> None:
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


async def test_error_is_that_of_the_last_model_when_all_models_fail(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(*(overloaded() for _ in range(5)), finished("NO_IMAGE", {"text": "Sorry."}))
    with pytest.raises(NoImage) as caught:
        await bench.generate()
    assert caught.value.finish_reason == "NO_IMAGE"
    assert caught.value.text == "Sorry."
    assert len(bench.attempts) == 6


async def test_the_log_names_models_and_outcomes_and_nothing_of_the_request(
    bench: ChainRig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    bench.fake_gemini.script.add(overloaded())
    await bench.generate("a secret prompt")
    assert any(PRO in record.getMessage() and "model_unavailable" in record.getMessage() for record in caplog.records)
    # What asyncio and Pillow say at DEBUG is theirs.
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("image_core", "google"))]
    assert all("secret" not in line and bench.fake_gemini.url not in line for line in said)
    assert not [record for record in caplog.records if record.name.startswith("google") and record.levelname != "DEBUG"]


async def test_hundreds_of_calls_wait_at_once_over_one_client(bench: ChainRig) -> None:
    body = finished(
        "STOP", {"inlineData": {"mimeType": "image/jpeg", "data": base64.b64encode(sample_image()).decode()}}
    ).body
    bench.fake_gemini.script.add(Scripted(200, body, delay=1, times=200))
    made = await asyncio.gather(*(bench.generate() for _ in range(200)))
    assert {(one.model, len(one.attempts)) for one in made} == {(PRO, 1)}
