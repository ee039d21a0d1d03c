"""Every kind of answer of the service: the calls, the waits, the caller's response and the cost."""

import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from image_core.clock import Clock
from image_core.errors import ModelError
from image_core.models.build import build_models
from image_core.models.generated import Options
from image_core.models.quota import next_reset
from image_core.settings import DEFAULT_CHAIN, Settings
from local.gemini.script import Scripted, finished, overloaded, problem, rate_limited
from local.gemini.server import FakeGemini
from tests.support.model_chain import ChainRig
from tests.support.paths import GEMINI_RESPONSES

PRO, NANO, LITE = DEFAULT_CHAIN
NOW = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)
RESET = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
UNTIL_RESET = 12 * 3600


@dataclass(slots=True)
class Times:
    """A wall clock that only moves when something sleeps, or when a test sets it."""

    now: datetime = NOW
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def times() -> Times:
    return Times()


def make(fake_gemini: FakeGemini, times: Times, models: str = ",".join(DEFAULT_CHAIN)) -> ChainRig:
    settings = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": fake_gemini.url, "GEMINI_MODELS": models}
    clock = Clock(now=lambda: times.now, sleep=times.sleep)
    return ChainRig(build_models(Settings.read(settings), clock), fake_gemini, clock, times.slept)


@pytest.fixture
async def timed(fake_gemini: FakeGemini, times: Times) -> AsyncIterator[ChainRig]:
    made = make(fake_gemini, times)
    yield made
    await made.chain.close()


def scripted(name: str, **other: Any) -> Scripted:
    """Return a recorded response of the service."""
    return Scripted(**{**json.loads((GEMINI_RESPONSES / f"gemini-{name}.json").read_bytes()), **other})


def per_day(**other: Any) -> Scripted:
    return scripted("429-per-day", **{"model": None, **other})


def image(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(out, kind)
    return out.getvalue()


def part(data: bytes, mime_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}, **more}


USAGE = {
    "promptTokenCount": 300,
    "candidatesTokenCount": 1120,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
}
BILLED = round((300 * 2 + 1120 * 120) / 1e6, 6)


@dataclass(frozen=True, slots=True)
class Case:
    """A script and its effect: `calls` are models, `waits` bounds in seconds, `billed` this process's cost."""

    name: str
    script: tuple[Scripted, ...]
    calls: list[str]
    outcomes: list[str]
    status: int = 200
    code: str = "ok"
    retryable: bool = False
    retry_after: int | None = None
    waits: list[tuple[float, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    details: str = ""
    text: str | None = None
    billed: float | None = None
    options: dict[str, str] = field(default_factory=dict)


BACKOFF, NEXT_BACKOFF = (0.0, 2.0), (0.0, 4.0)

CASES = [
    Case("an image that is marked as a thought", (scripted("thought-only-image"),), [PRO], ["ok"],
         billed=round((300 * 2 + 1290 * 120) / 1e6, 6)),
    Case("an image smaller than requested", (scripted("4k-asked-1k-given"),), [PRO], ["ok"],
         options={"image_size": "4K", "aspect_ratio": "16:9"},
         warnings=["size_reduced: the image has 16 x 12 pixels, which is not 4K at 16:9"]),
    Case("an image of another shape", (finished("STOP", part(image(size=(1024, 1024)))),), [PRO], ["ok"],
         options={"aspect_ratio": "16:9"},
         warnings=["size_reduced: the image has 1024 x 1024 pixels, which is not 16:9"]),
    Case("an image as requested", (finished("STOP", part(image(size=(1376, 768)))),), [PRO], ["ok"],
         options={"aspect_ratio": "16:9", "image_size": "1K"}),
    Case("a JPEG declared as PNG", (finished("STOP", part(image("JPEG"), "image/png"), usage=USAGE),), [PRO], ["ok"],
         billed=BILLED),
    Case("a WebP declared as text", (finished("STOP", part(image("WEBP"), "text/plain"), usage=USAGE),), [PRO], ["ok"],
         billed=BILLED),
    Case("a daily quota", (per_day(times=1),), [PRO, NANO], ["rate_limited", "ok"],
         billed=None),
    Case("a daily quota of all models", (per_day(),), [PRO, NANO, LITE], ["rate_limited"] * 3, status=429,
         code="rate_limited", retryable=True, retry_after=UNTIL_RESET,
         details="The daily quota is used up until 2026-11-26T08:00:00.000Z"),
    Case("a limit of 0 in the message alone",
         (Scripted(429, problem(429, "RESOURCE_EXHAUSTED",
                                "Quota exceeded for metric: x, limit: 0, model: y. Retry in 9s",
                                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"})),),
         [PRO, NANO], ["rate_limited", "ok"]),
    Case("a limit of 0 in the violation alone",
         (Scripted(429, problem(429, "RESOURCE_EXHAUSTED", "Quota exceeded",
                                {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                                 "violations": [{"quotaId": "RequestsPerMinute", "quotaValue": "0"}]})),),
         [PRO, NANO], ["rate_limited", "ok"]),
    Case("a limit of 10 a minute",
         (Scripted(429, problem(429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: x, limit: 10",
                                {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                                 "violations": [{"quotaId": "RequestsPerMinute", "quotaValue": "10"}]},
                                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"})),),
         [PRO, PRO], ["rate_limited", "ok"], waits=[(9, 9)]),
    Case("a daily quota of the first, and overload of the others",
         (per_day(model=PRO), Scripted(503, problem(503, "UNAVAILABLE", "x"), times=9)),
         [PRO, NANO, NANO, LITE, LITE], ["rate_limited", *["model_unavailable"] * 4], status=503,
         code="model_unavailable", retryable=True, retry_after=10, waits=[BACKOFF, BACKOFF]),
    Case("a daily quota of the first, and one of minutes of the others",
         (per_day(model=PRO), Scripted(429, rate_limited(100).body, times=9)),
         [PRO, NANO, LITE], ["rate_limited"] * 3, status=429, code="rate_limited", retryable=True, retry_after=100),
    Case("Retry-After in seconds",
         (Scripted(429, problem(429, "RESOURCE_EXHAUSTED", "x"), headers={"Retry-After": "7"}),),
         [PRO, PRO], ["rate_limited", "ok"], waits=[(7, 7)]),
    Case("Retry-After as a date",
         (Scripted(503, problem(503, "UNAVAILABLE", "x"), headers={"Retry-After": "Wed, 25 Nov 2026 20:00:12 GMT"}),),
         [PRO, PRO], ["model_unavailable", "ok"], waits=[(12, 12)]),
    Case("Retry-After in the past",
         (Scripted(503, problem(503, "UNAVAILABLE", "x"), headers={"Retry-After": "Wed, 25 Nov 2026 19:00:00 GMT"}),),
         [PRO, PRO], ["model_unavailable", "ok"], waits=[(0, 0)]),
    Case("Retry-After that is invalid",
         (Scripted(503, problem(503, "UNAVAILABLE", "x"), headers={"Retry-After": "soon"}),),
         [PRO, PRO], ["model_unavailable", "ok"], waits=[BACKOFF]),
    Case("Retry-After beside RetryInfo", (Scripted(429, rate_limited(5).body, headers={"Retry-After": "8"}),),
         [PRO, PRO], ["rate_limited", "ok"], waits=[(8, 8)]),
    Case("Retry-After that does not fit",
         (Scripted(503, problem(503, "UNAVAILABLE", "x"), headers={"Retry-After": "55"}),),
         [PRO, NANO], ["model_unavailable", "ok"]),
    Case("an account in an unsupported location", (scripted("400-location"),), [PRO], ["model_error"],
         status=500, code="model_error", details="Google account"),
    Case("the billing of the account, in a 200",
         (Scripted(200, problem(400, "FAILED_PRECONDITION", "Billing is disabled")),), [PRO], ["model_error"],
         status=500, code="model_error", details="Google account"),
    Case("a limited account", (finished("PUP_LIMITED_DISABLED"),), [PRO], ["model_error"], status=500,
         code="model_error", details="Google account"),
    Case("a backend that cancels one call", (scripted("499-cancelled", times=1),), [PRO, PRO],
         ["model_unavailable", "ok"], waits=[BACKOFF]),
    Case("a backend that cancels every call", (scripted("499-cancelled"),), [PRO, PRO, NANO, NANO, LITE, LITE],
         ["model_unavailable"] * 6, status=503, code="model_unavailable", retryable=True, retry_after=10,
         waits=[BACKOFF] * 3),
    Case("an error object in a 200", (scripted("200-error-object", times=1),), [PRO, PRO], ["model_unavailable", "ok"],
         waits=[BACKOFF]),
    Case("an error object in every 200", (scripted("200-error-object"),), [PRO, PRO, NANO, NANO, LITE, LITE],
         ["model_unavailable"] * 6, status=503, code="model_unavailable", retryable=True, retry_after=10,
         waits=[BACKOFF] * 3),
    Case("an error object with a name and no number", (Scripted(200, {"error": {"status": "RESOURCE_EXHAUSTED"}}),),
         [PRO, PRO], ["rate_limited", "ok"], waits=[BACKOFF]),
    Case("an error that is a string", (Scripted(200, {"error": "upstream failed"}),), [PRO, PRO],
         ["model_unavailable", "ok"], waits=[BACKOFF]),
    Case("a daily quota in a 200", (Scripted(200, per_day().body),), [PRO, NANO], ["rate_limited", "ok"]),
    Case("an input that cannot be decoded once",
         (Scripted(400, problem(400, "INVALID_ARGUMENT", "Unable to process input image. Please retry")),), [PRO, PRO],
         ["model_error", "ok"], waits=[BACKOFF]),
    Case("an input that cannot be decoded",
         (Scripted(400, problem(400, "INVALID_ARGUMENT", "Unable to process input image."), times=9),), [PRO, PRO],
         ["model_error"] * 2, status=500, code="model_error", details="one of the input images", waits=[BACKOFF]),
    Case("an escalation", (finished("ESCALATION", {"text": "No."}),), [PRO], ["refused"], status=500, code="refused",
         text="No."),
    Case("a message of the service beside the reason", (scripted("image-other-finish-message"),),
         [PRO, PRO, NANO, NANO, LITE, LITE], ["no_image"] * 6, status=500, code="no_image", retryable=True,
         text="Unable to show the generated image. Try rephrasing.", waits=[(0, 0)] * 3),
    Case("a message of the service after the model's text",
         (finished("IMAGE_SAFETY", {"text": "I cannot."}), ), [PRO], ["refused"], status=500, code="refused",
         text="I cannot."),
    Case("a blocked prompt with a message",
         (Scripted(200, {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "Not this."}}),), [PRO],
         ["refused"], status=500, code="refused", text="Not this."),
    Case("a long message",
         (Scripted(200, {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "x" * 100_000}}),), [PRO],
         ["refused"], status=500, code="refused", text="x" * 2000),
    Case("a reply to be continued",
         (finished("CONTINUATION", {"text": "…"}, usage={"promptTokenCount": 300, "candidatesTokenCount": 10}),),
         [PRO, PRO], ["no_image", "ok"], waits=[(0, 0)]),
    Case("the bound on output tokens", (finished("MAX_TOKENS"),), [PRO, PRO], ["no_image", "ok"], waits=[(0, 0)]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_response_of_the_service(timed: ChainRig, case: Case) -> None:
    timed.fake_gemini.script.add(
        *(Scripted(**{name: getattr(each, name) for name in each.__slots__}) for each in case.script)
    )
    try:
        made = await timed.generate(**case.options)  # type: ignore[arg-type] # all options are strings
    except ModelError as error:
        attempts, warnings, body, after = tuple(timed.attempts), error.warnings, error.body(), error.retry_after
        status, code, retryable = error.status, body["code"], body["retryable"]
    else:
        attempts, warnings, body, after = made.attempts, made.warnings, {}, None
        status, code, retryable = 200, "ok", False
    assert timed.models == case.calls
    assert [attempt.outcome for attempt in attempts] == case.outcomes
    assert [attempt.model for attempt in attempts] == case.calls
    assert (status, code, retryable, after) == (case.status, case.code, case.retryable, case.retry_after)
    assert len(timed.slept) == len(case.waits)
    assert all(least <= slept <= most for slept, (least, most) in zip(timed.slept, case.waits, strict=True))
    assert list(warnings) == case.warnings
    assert case.details in body.get("details", "")
    if case.text is not None:
        assert body["text"] == case.text
    billed = round(sum(attempt.usage.cost_usd or 0 for attempt in attempts if attempt.usage is not None), 6)
    assert billed == timed.fake_gemini.billed_usd
    if case.billed is not None:
        assert billed == case.billed


async def test_error_of_the_account_does_not_mention_the_request(
    timed: ChainRig, caplog: pytest.LogCaptureFixture
) -> None:
    timed.fake_gemini.script.add(scripted("400-location"))
    with pytest.raises(ModelError) as caught:
        await timed.generate("a secret prompt")
    details = str(caught.value.details)
    assert "operator" in details
    assert not any(word in details.lower() for word in ("request", "prompt", "your image"))
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "account" in line.getMessage()
    assert "secret" not in line.getMessage()


async def test_model_without_daily_quota_is_skipped_until_the_reset(timed: ChainRig, times: Times) -> None:
    timed.fake_gemini.script.add(per_day(times=1))
    assert (await timed.generate()).model == NANO
    second = await timed.generate()
    assert (second.model, timed.models) == (NANO, [PRO, NANO, NANO])
    assert second.warnings == (f"model_skipped: the quota of {PRO} is used up until 2026-11-26T08:00:00.000Z",)
    times.now = RESET - timedelta(seconds=1)
    assert (await timed.generate()).model == NANO
    times.now = RESET
    assert (await timed.generate()).model == PRO


async def test_no_call_is_made_until_the_reset_if_no_model_has_daily_quota(timed: ChainRig, times: Times) -> None:
    timed.fake_gemini.script.add(per_day(times=3))
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            await timed.generate()
        assert (caught.value.body()["code"], caught.value.retry_after) == ("rate_limited", UNTIL_RESET)
        assert caught.value.body()["resetsAt"] == "2026-11-26T08:00:00.000Z"
    assert timed.models == [PRO, NANO, LITE]
    with pytest.raises(ModelError):
        timed.chain.check_quota(Options(), 1)
    times.now = RESET
    timed.chain.check_quota(Options(), 1)
    assert (await timed.generate()).model == PRO


async def test_overload_of_one_model_counts_more_than_the_daily_quota_of_the_next(
    fake_gemini: FakeGemini, times: Times
) -> None:
    rig = make(fake_gemini, times, f"{PRO},{LITE}")
    fake_gemini.script.add(per_day(model=LITE), overloaded(), overloaded(), overloaded(), overloaded())
    for _ in range(2):  # the second time the quota is known
        with pytest.raises(ModelError) as caught:
            await rig.generate()
        assert (caught.value.body()["code"], caught.value.retry_after) == ("model_unavailable", 10)
    assert rig.models == [PRO, PRO, LITE, PRO, PRO]
    await rig.chain.close()


async def test_requested_model_without_quota_is_skipped(timed: ChainRig) -> None:
    timed.fake_gemini.script.add(per_day(model=NANO))
    assert (await timed.generate(model=NANO)).model == PRO
    timed.chain.check_quota(Options(model=NANO), 1)
    # Only this model makes 1:8.
    with pytest.raises(ModelError):
        timed.chain.check_quota(Options(aspect_ratio="1:8"), 1)


async def test_each_process_learns_of_a_quota_by_its_own_call(fake_gemini: FakeGemini, times: Times) -> None:
    fake_gemini.script.add(per_day(model=PRO))
    one, two = make(fake_gemini, times), make(fake_gemini, times)
    for each in (one, two, one, two):
        assert (await each.generate()).model == NANO
    assert one.models == [PRO, NANO, PRO, NANO, NANO, NANO]
    await one.chain.close()
    await two.chain.close()


RESETS = [
    ("winter", "2026-11-25T20:00:00+00:00", "2026-11-26T08:00:00+00:00"),
    ("winter, before midnight in California", "2026-11-26T07:59:59+00:00", "2026-11-26T08:00:00+00:00"),
    ("exactly at midnight", "2026-11-26T08:00:00+00:00", "2026-11-27T08:00:00+00:00"),
    ("summer", "2026-07-01T12:00:00+00:00", "2026-07-02T07:00:00+00:00"),
    ("the night before the clocks go forward", "2027-03-13T12:00:00+00:00", "2027-03-14T08:00:00+00:00"),
    ("the day of 23 hours", "2027-03-14T09:00:00+00:00", "2027-03-15T07:00:00+00:00"),
    ("the night before the clocks go back", "2026-10-31T12:00:00+00:00", "2026-11-01T07:00:00+00:00"),
    ("the day of 25 hours", "2026-11-01T07:00:00+00:00", "2026-11-02T08:00:00+00:00"),
]


@pytest.mark.parametrize(("now", "reset"), [row[1:] for row in RESETS], ids=[row[0] for row in RESETS])
def test_daily_quota_is_reset_at_midnight_in_california(now: str, reset: str) -> None:
    assert next_reset(datetime.fromisoformat(now)) == datetime.fromisoformat(reset)


async def test_every_call_has_a_bound_on_its_output(timed: ChainRig) -> None:
    timed.fake_gemini.script.add(overloaded(), overloaded(), finished("STOP", part(image())))
    await timed.generate(image_size="4K")
    assert [call.max_output_tokens for call in timed.fake_gemini.calls] == [5072, 5072, 6852]
