"""The chain of models: which is asked, how often, and what is said when none of them made a picture.

For each model up to two attempts: again on 429 (after its RetryInfo, if that fits), 408 or 5xx, a broken connection, an
answer that makes no sense, or none that is no refusal; the next model on 404 and when the attempts are used up; never
again after 400, 401, 403 or a refusal.

The outcomes of attempts: `ok`, `rate_limited`, `model_unavailable` (408, 5xx), `connection_lost`, `invalid_reply`,
`no_image`, `refused`, `not_found`, `model_error` (any other status), `model_auth_failed`, `deadline_exceeded`.

The warnings: `model_gone` (the model that was asked for answered 404 within the hour), `model_skipped` (it cannot make the
size that was asked for, and another can), `size_reduced` (none can, or it was asked for by name: it made its largest).
"""

import asyncio
import logging
import math
import random as stdlib_random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus

from image_core.clock import Clock, Deadline, iso
from image_core.errors import (
    DeadlineExceeded,
    ImageError,
    InvalidRequest,
    ModelAuthFailed,
    ModelError,
    ModelFailed,
    ModelUnavailable,
    NoImage,
    RateLimited,
    Refused,
)
from image_core.generated import Attempt, Generated, Options, Usage
from image_core.model.gemini import CallFailed, Gemini
from image_core.model.hold import Hold
from image_core.model.reply import Reply
from image_core.picture import Picture
from image_core.prices import largest_size
from image_core.settings import Settings

log = logging.getLogger("image_core.model")

ATTEMPTS = 2
LEAST_SECONDS = 10.0
"""The service refuses a shorter timeout: with less time left nothing more is begun."""
RETIRED_FOR = timedelta(hours=1)
FIRST_BACKOFF_SECONDS = 2.0
RATE_LIMIT_SECONDS = 30
"""`Retry-After` where the service did not say when."""
OVERLOADED_SECONDS = 10
UNAUTHORIZED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@dataclass(frozen=True, slots=True)
class _Turn:
    """A model's place in one generation's chain: the size to ask it for, or that it is passed over; and what to say of that."""

    model: str
    size: str | None = None
    passed_over: bool = False
    warning: str | None = None


@dataclass(slots=True)
class _Run:
    """One generation's way through the chain."""

    noted: Callable[[Attempt], None]
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quota: dict[str, int] = field(default_factory=dict)
    """Models whose quota is used up, with the seconds until there is some again."""
    last: ModelError = field(default_factory=lambda: ModelFailed("None of the configured models exists"))

    def ended(self, error: ModelError) -> ModelError:
        error.attempts = tuple(self.attempts)
        error.warnings = tuple(self.warnings)
        return error


class ModelChain:
    """One for the process: it remembers which models are gone, and keeps the client."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, random: stdlib_random.Random | None = None
    ) -> None:
        self._models = settings.gemini_models
        self._gemini = Gemini(settings)
        self._clock = clock or Clock()
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter, no secret
        self._gone: dict[str, datetime] = {}

    def check_options(self, options: Options) -> None:
        """Raises InvalidRequest where a model is asked for that is not in the chain."""
        if options.model is not None and options.model not in self._models:
            raise InvalidRequest(f"One of {', '.join(self._models)}", field="model")

    def retired(self) -> dict[str, datetime]:
        """Models that answered 404 within the last hour, and when."""
        now = self._clock.now()
        self._gone = {model: since for model, since in self._gone.items() if now - since < RETIRED_FOR}
        return dict(self._gone)

    def _turns(self, options: Options) -> Iterator[_Turn]:
        """The models in their order: first the one that was asked for. Gone ones are asked only where all are gone."""
        named, asked = options.model, options.image_size
        models = ([named] if named else []) + [model for model in self._models if model != named]
        gone = self.retired()
        left = {model: largest_size(model, asked) for model in models if model not in gone or len(gone) == len(models)}
        for model in models:
            if model not in left:
                said = f"model_gone: {model} is not there any more" if model == named else None
                yield _Turn(model, passed_over=True, warning=said)
            elif left[model] == asked:
                yield _Turn(model, asked)
            elif model != named and asked in left.values():
                said = f"model_skipped: {model} makes at most {left[model]}, not {asked}"
                yield _Turn(model, passed_over=True, warning=said)
            else:
                said = f"size_reduced: {model} makes at most {left[model]}, not {asked}"
                yield _Turn(model, left[model], warning=said)

    async def generate(
        self,
        hold: Hold,
        prompt: str,
        options: Options,
        deadline: Deadline,
        noted: Callable[[Attempt], None] = lambda _: None,
    ) -> Generated:
        """The best answer that the deadline allows. Raises ModelError with every attempt that was made.

        Where the inputs cannot be read again for another attempt, the error is that of the attempt before.
        `noted` is called with each attempt at the moment it has ended.
        """
        run = _Run(noted)
        for turn in self._turns(options):
            model = turn.model
            if turn.passed_over:
                run.warnings += [turn.warning] if turn.warning else []
                continue
            call = partial(
                self._gemini.generate, model, hold, prompt, aspect_ratio=options.aspect_ratio, image_size=turn.size
            )
            for attempt in range(ATTEMPTS):
                if deadline.remaining() < LEAST_SECONDS:
                    raise run.ended(DeadlineExceeded(_left_too_little(run)))
                began = self._clock.monotonic()
                try:
                    reply = await call(seconds=deadline.remaining())
                except TimeoutError:
                    self._note(run, model, "deadline_exceeded", began)
                    raise run.ended(DeadlineExceeded("The model did not answer in time")) from None
                except ImageError as error:
                    if not run.attempts:
                        raise
                    log.warning("the inputs could not be read again: %s", error.code)
                    raise run.ended(run.last) from error
                except CallFailed as failed:
                    wait = self._failed(run, model, failed, began, attempt)
                else:
                    if reply.picture is not None:
                        self._note(run, model, "ok", began, reply.usage)
                        return _generated(run, turn, reply, reply.picture)
                    wait = self._without_picture(run, model, reply, began)
                if wait is None or attempt + 1 == ATTEMPTS or wait + LEAST_SECONDS > deadline.remaining():
                    break
                await self._clock.sleep(wait)
        raise run.ended(run.last)

    def _note(self, run: _Run, model: str, outcome: str, began: float, usage: Usage | None = None) -> None:
        seconds = self._clock.monotonic() - began
        milliseconds = round(seconds * 1000)
        attempt = Attempt(model, outcome, milliseconds, usage, iso(self._clock.now() - timedelta(seconds=seconds)))
        run.attempts.append(attempt)
        run.noted(attempt)
        log.info("%s: %s after %d ms", model, outcome, milliseconds)

    def _failed(self, run: _Run, model: str, failed: CallFailed, began: float, attempt: int) -> float | None:
        """Note a call without a reply. Returns the seconds to wait before the same model is asked again, None for never.

        Raises the error where no model would answer better.
        """
        status = failed.status
        note = partial(self._note, run, model, began=began)
        if failed.key_refused or status in UNAUTHORIZED:
            note(outcome="model_auth_failed")
            raise run.ended(ModelAuthFailed("The service refused the API key; an operator must look at GEMINI_API_KEY"))
        if status == HTTPStatus.NOT_FOUND:
            note(outcome="not_found")
            self._gone[model] = self._clock.now()
            log.warning("%s is gone (404): not asked again for an hour", model)
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            note(outcome="rate_limited")
            after = failed.retry_seconds
            run.quota[model] = RATE_LIMIT_SECONDS if after is None else max(1, math.ceil(after))
            # Any of the models would do: the first that has some quota again is worth coming back for.
            run.last = RateLimited(retry_after=min(run.quota.values()))
            return after if after is not None else self._backoff(attempt)
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.REQUEST_TIMEOUT:
            note(outcome="model_error")
            answer = f"{status} {failed.name}".strip()
            log.error("%s: the service answered %s", model, answer)
            raise run.ended(ModelFailed(f"The model's service answered {answer}: it does not take this request"))
        note(outcome="connection_lost" if failed.lost else "invalid_reply" if status is None else "model_unavailable")
        run.last = ModelUnavailable(retry_after=OVERLOADED_SECONDS)
        return failed.retry_seconds if failed.retry_seconds is not None else self._backoff(attempt)

    def _without_picture(self, run: _Run, model: str, reply: Reply, began: float) -> float | None:
        """Note a reply without a picture. Raises Refused where it is a refusal: another model would only cost more."""
        self._note(run, model, "refused" if reply.refused else "no_image", began, reply.usage)
        kind = Refused if reply.refused else NoImage
        run.last = kind(reply.sentence, text=reply.text, finish_reason=reply.finish_reason)
        if reply.refused:
            raise run.ended(run.last)
        return 0.0

    def _backoff(self, attempt: int) -> float:
        """Exponential, with full jitter."""
        return self._random.uniform(0, FIRST_BACKOFF_SECONDS * 2**attempt)

    async def probe(self, seconds: float) -> list[tuple[str, bool, str]]:
        """Each model of the chain: whether it answers to its name, else why not. Costs nothing."""

        async def one(model: str) -> tuple[str, bool, str]:
            try:
                async with asyncio.timeout(seconds):
                    await self._gemini.exists(model)
            except TimeoutError:
                return model, False, "timeout"
            except CallFailed as failed:
                return model, False, "unreachable" if failed.status is None else f"status {failed.status}"
            return model, True, ""

        return list(await asyncio.gather(*map(one, self._models)))

    async def close(self) -> None:
        await self._gemini.close()


def _generated(run: _Run, turn: _Turn, reply: Reply, picture: Picture) -> Generated:
    warnings = (*run.warnings, turn.warning) if turn.warning else run.warnings
    return Generated(picture, reply.text, turn.model, reply.usage or Usage(), tuple(run.attempts), tuple(warnings))


def _left_too_little(run: _Run) -> str:
    return "No time was left for another attempt" if run.attempts else "No time was left to ask a model"
