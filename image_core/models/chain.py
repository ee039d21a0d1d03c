"""The fallback chain of models: the order of the calls, their repetitions, and the error when no model made an image.

A model is skipped if by the catalog it cannot make the requested image, while its daily quota is used up, and for an
hour after it answered 404. Each other model gets up to two attempts: the second after 429 (after the time in RetryInfo,
if there is enough time), 408, 499 or 5xx, a broken connection, an invalid answer, an answer without an image that is
not a refusal, or an input that the service could not decode. The next model is called after 404, at a used-up daily
quota, and when the attempts are used up. No further call is made after another 400, 401, 403 or a refusal.

The outcomes of attempts: `ok`, `rate_limited`, `model_unavailable` (408, 499, 5xx), `connection_lost`, `invalid_reply`,
`no_image`, `refused`, `context_refused` (the service refused the earlier turns: the next call is without), `not_found`,
`model_error` (any other status), `model_auth_failed`, `deadline_exceeded`.

The warnings: `model_retired` (a name means its successor), `model_skipped` (a model of the chain was not called),
`model_gone` (the requested model answered 404 within the hour), `size_reduced` (the image is smaller than requested, or
has another shape), `context_not_kept` (the earlier image was sent without the turns that led to it).
"""

import asyncio
import logging
import math
import random as stdlib_random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from http import HTTPStatus

from image_core.clock import Clock, Deadline, iso
from image_core.errors import (
    AccountRefused,
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
from image_core.images.image import Image
from image_core.models import catalog
from image_core.models.availability import Availability
from image_core.models.catalog import Link, Retirement
from image_core.models.generated import CANCELED, Attempt, Generated, Options, Usage
from image_core.models.probe import UNAUTHORIZED
from image_core.models.provider import Call, CallFailed, CallInputs, Provider, Reply, TurnsRefused
from image_core.models.shape import reduction

log = logging.getLogger("image_core.models")

ATTEMPTS = 2
LEAST_SECONDS = 10.0
"""Minimum time for a call, in seconds: the service refuses a shorter timeout."""
FIRST_BACKOFF_SECONDS = 2.0
RATE_LIMIT_SECONDS = 30
"""`Retry-After` of 429 where the service did not name a time."""
OVERLOADED_SECONDS = 10
PASSING = {HTTPStatus.REQUEST_TIMEOUT, 499}
"""Statuses below 500 of temporary faults: the service's own timeout, and a call that its backend cancelled."""

ACCOUNT_DETAILS = (
    "The model's service does not serve this account ({reason}). The operator of this API must check the region, the "
    "billing and the limits of the Google account that GEMINI_API_KEY belongs to."
)
TURNS_DETAILS = "The model's service refused the earlier turns, and the image could not be read to send it without them"
IMAGE_DETAILS = (
    "The model could not process one of the input images. Save it again as PNG or JPEG, or use another image."
)


@dataclass(slots=True)
class _Run:
    """The state of one generation in the chain."""

    noted: Callable[[Attempt], None]
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quota: dict[str, int] = field(default_factory=dict)
    """Models whose quota is used up, with the seconds until they have quota again."""
    resets: dict[str, datetime] = field(default_factory=dict)
    """The models among them whose daily quota is used up, with the times of the resets."""
    image_unreadable: bool = False
    began: float = 0.0
    """The start of the current call, on the monotonic clock."""
    turns_refused: bool = False
    """A model refused the earlier turns."""
    last: ModelError = field(default_factory=lambda: ModelFailed("None of the configured models exists"))

    def with_warnings(self, error: ModelError) -> ModelError:
        """Return `error` with the warnings of this generation."""
        error.warnings = tuple(self.warnings)
        return error

    def out_of_day_quota(self) -> None:
        """Note that a model has no daily quota. An earlier error that is over sooner remains the result."""
        if isinstance(self.last, RateLimited | ModelFailed):
            self.last = self.limited()

    def limited(self) -> RateLimited:
        """Return the error with the earliest time at which one of the models has quota again."""
        first = min(self.quota, key=self.quota.__getitem__)
        reset = self.resets.get(first)
        if reset is None:
            return RateLimited(retry_after=self.quota[first])
        details = f"The daily quota is used up until {iso(reset)}"
        return RateLimited(details, retry_after=self.quota[first], resets_at=reset)


class ModelChain:
    """Calls the models of `names`, best first. There is one for the process."""

    def __init__(
        self,
        provider: Provider,
        names: tuple[str, ...],
        availability: Availability,
        clock: Clock | None = None,
        random: stdlib_random.Random | None = None,
    ) -> None:
        self._provider = provider
        self._names = names
        self._availability = availability
        self._clock = clock or Clock()
        self._random = random or stdlib_random.Random()  # noqa: S311 - for jitter, not for secrets
        self._warned: set[str] = set()
        self._warn_of_retirements()

    def _today(self) -> date:
        return self._clock.now().date()

    def _warn_of_retirements(self) -> None:
        """Log each configured name that is retired, or will be within a month; once for a process."""
        for each in self.retiring():
            if each.name not in self._warned:
                self._warned.add(each.name)
                log.warning("%s retires on %s: replace it by %s in GEMINI_MODELS", each.name, each.on, each.successor)

    def retiring(self) -> tuple[Retirement, ...]:
        """Return the configured names that are retired, or will be within a month."""
        return catalog.retiring(self._names, self._today())

    def links(self) -> tuple[Link, ...]:
        """Return the models that the configured names mean today, in order."""
        return catalog.chain(self._names, self._today())

    def models(self) -> tuple[str, ...]:
        """Return the names of the models of today, in order."""
        return tuple(link.model for link in self.links())

    def _ordered(self, options: Options) -> tuple[Link, ...]:
        """Return the links in the order of one request: a model that it names comes first."""
        today = self._today()
        links = catalog.chain(self._names, today)
        if options.model is None:
            return links
        named = Link(catalog.current(options.model, today), catalog.retirement(options.model, today))
        return (named, *(link for link in links if link.model != named.model))

    def check_key(self) -> None:
        """Raise Misconfigured where no model can be called, for example without a key."""
        self._provider.check_configured()

    def check_options(self, options: Options, inputs: int = 0) -> None:
        """Raise InvalidRequest where the requested model is not in the chain, or no model can serve the request."""
        today = self._today()
        models = self.models()
        if options.model is not None and catalog.current(options.model, today) not in models:
            raise InvalidRequest(f"One of {', '.join(models)}", field="model")
        lacking = catalog.lacking_field(models, options, inputs)
        if lacking is not None:
            raise _none_can(models, options, inputs, lacking)

    def check_quota(self, options: Options, inputs: int) -> None:
        """Raise RateLimited where the daily quota of every model that could be called is known to be used up."""
        run = _Run(lambda _: None)
        for link in self._able(options, inputs):
            if not self._out_of_quota(run, link.model):
                return
        if run.quota:
            raise run.limited()

    def first(self, options: Options, inputs: int = 0) -> str:
        """Return the model that would be called first now."""
        able = self._able(options, inputs)
        usable = [link for link in able if self._availability.callable(link.model)]
        return (usable or able or self._ordered(options))[0].model

    def shapes(self, options: Options, inputs: int) -> Mapping[str, tuple[int, int]]:
        """Return the aspect ratios, with their pixels in 1K, that every model can make that may be called."""
        return catalog.shapes(link.model for link in self._able(options, inputs))

    def warnings(self, options: Options, inputs: int) -> tuple[str, ...]:
        """Return the warnings about the models up to the first that would be called now."""
        run, first = _Run(lambda _: None), self.first(options, inputs)
        for link in self._ordered(options):
            run.warnings += _retired_warning(link)
            if link.model == first:
                break
            self._skip(run, link, options, inputs, call_gone=False)
        return tuple(run.warnings)

    def context_warning(self, model: str, turns_of: str | None) -> str | None:
        """Return the warning that the first model of an edit does not receive the earlier turns; None where it does."""
        reason = _other_family(model, turns_of)
        return None if reason is None else _without_context(model, reason)

    def available(self, model: str) -> bool:
        """Return whether nothing is known that prevents a call of `model`."""
        return self._availability.callable(model)

    def _able(self, options: Options, inputs: int) -> tuple[Link, ...]:
        return tuple(link for link in self._ordered(options) if catalog.lack(link.model, options, inputs) is None)

    def _out_of_quota(self, run: _Run, model: str) -> bool:
        reset = self._availability.quota_reset(model)
        if reset is None:
            return False
        run.quota[model] = max(1, math.ceil((reset - self._clock.now()).total_seconds()))
        run.resets[model] = reset
        return True

    def _skip(self, run: _Run, link: Link, options: Options, inputs: int, *, call_gone: bool) -> bool:
        """Return whether the model must not be called. Adds a warning to the run."""
        model = link.model
        lack = catalog.lack(model, options, inputs)
        if lack is not None:
            run.warnings.append(f"model_skipped: {lack.sentence}")
            return True
        if model in self._availability.gone() and not call_gone:
            if options.model is not None and catalog.current(options.model, self._today()) == model:
                run.warnings.append(f"model_gone: {model} does not exist any more")
            return True
        if self._out_of_quota(run, model):
            run.warnings.append(f"model_skipped: the quota of {model} is used up until {iso(run.resets[model])}")
            run.out_of_day_quota()
            return True
        return False

    async def generate(
        self,
        call_inputs: CallInputs,
        prompt: str,
        options: Options,
        deadline: Deadline,
        noted: Callable[[Attempt], None] = lambda _: None,
    ) -> Generated:
        """Make an image before the deadline. Raises ModelError.

        `noted` is called with each attempt as soon as it has ended. If the inputs cannot be read again for another
        attempt, the error is that of the previous attempt.
        """
        run = _Run(noted)
        self._warn_of_retirements()
        inputs = len(await call_inputs.images())
        able = self._able(options, inputs)
        if not able:  # the chain has changed since the request was accepted
            models = self.models()
            raise _none_can(models, options, inputs, catalog.lacking_field(models, options, inputs) or "model")
        gone = self._availability.gone()
        call_gone = all(link.model in gone for link in able)
        for link in self._ordered(options):
            run.warnings += _retired_warning(link)
            if self._skip(run, link, options, inputs, call_gone=call_gone):
                continue
            made = await self._call_model(run, link.model, call_inputs, prompt, options, deadline)
            if made is not None:
                return made
        raise run.with_warnings(run.last)

    async def _call_model(
        self, run: _Run, model: str, inputs: CallInputs, prompt: str, options: Options, deadline: Deadline
    ) -> Generated | None:
        """Call one model, a second time if that may help. Returns None to call the next model. Raises ModelError."""
        call = Call(model, prompt, options.aspect_ratio, options.image_size, _in_context(run, model, inputs))
        for attempt in range(ATTEMPTS):
            try:
                reply = await self._call(run, call, inputs, deadline)
            except TimeoutError:
                self._note(run, model, "deadline_exceeded")
                raise run.with_warnings(DeadlineExceeded("The model did not answer in time")) from None
            except asyncio.CancelledError:
                self._note(run, model, CANCELED)
                raise
            except ImageError as error:
                if isinstance(error, ModelError) or not run.attempts:
                    raise
                log.warning("the inputs could not be read again: %s", error.code)
                raise run.with_warnings(run.last) from error
            except CallFailed as failed:
                wait = self._failed(run, model, failed, attempt)
            else:
                if reply.image is not None:
                    self._note(run, model, "ok", reply.usage)
                    if inputs.continues and not reply.in_context:
                        run.warnings.append(_without_context(model, _why_without_context(run, model, inputs.turns_of)))
                    return _generated(run, model, options, reply, reply.image)
                wait = self._without_image(run, model, reply)
            if wait is None or attempt + 1 == ATTEMPTS or wait + LEAST_SECONDS > deadline.remaining():
                break
            await self._clock.sleep(wait)
        return None

    async def _call(self, run: _Run, call: Call, inputs: CallInputs, deadline: Deadline) -> Reply:
        """Call the model, and again without the earlier turns if the service refuses them, which is free.

        Raises the errors of `Provider.generate` except TurnsRefused, and DeadlineExceeded where too little time is
        left.
        """
        if deadline.remaining() < LEAST_SECONDS:
            raise run.with_warnings(DeadlineExceeded(_left_too_little(run)))
        call = replace(call, in_context=call.in_context and not run.turns_refused)
        run.began = self._clock.monotonic()
        try:
            return await self._provider.generate(call, inputs, deadline.remaining())
        except TurnsRefused:
            self._note(run, call.model, "context_refused")
        log.warning("%s refuses the earlier turns: it is called without them", call.model)
        run.turns_refused = True
        run.last = ModelFailed(TURNS_DETAILS)
        return await self._call(run, call, inputs, deadline)

    def _note(self, run: _Run, model: str, outcome: str, usage: Usage | None = None) -> None:
        seconds = self._clock.monotonic() - run.began
        milliseconds = round(seconds * 1000)
        attempt = Attempt(model, outcome, milliseconds, usage, self._clock.now() - timedelta(seconds=seconds))
        run.attempts.append(attempt)
        run.noted(attempt)
        log.info("%s: %s after %d ms", model, outcome, milliseconds)

    def _failed(self, run: _Run, model: str, failed: CallFailed, attempt: int) -> float | None:
        """Note a failed call. Returns the seconds to wait before the same model is called again, None for never.

        Raises the error where another model would fail too.
        """
        status = failed.status
        note = partial(self._note, run, model)
        if failed.key_refused or status in UNAUTHORIZED:
            note(outcome="model_auth_failed")
            raise run.with_warnings(
                ModelAuthFailed("The service refused the API key; an operator must check GEMINI_API_KEY")
            )
        if status == HTTPStatus.NOT_FOUND:
            note(outcome="not_found")
            self._availability.note_gone(model)
            log.warning("%s is gone (404): it is not called for an hour", model)
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            note(outcome="rate_limited")
            return self._limited(run, model, failed, attempt)
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in PASSING:
            note(outcome="model_error")
            return self._rejected(run, model, failed, attempt)
        note(outcome="connection_lost" if failed.lost else "invalid_reply" if status is None else "model_unavailable")
        after = failed.retry_seconds
        run.last = ModelUnavailable(retry_after=max(OVERLOADED_SECONDS, math.ceil(after or 0)))
        return after if after is not None else self._backoff(attempt)

    def _limited(self, run: _Run, model: str, failed: CallFailed, attempt: int) -> float | None:
        """Handle 429: wait for a quota per minute; at a daily quota do not call the model until the reset."""
        if failed.day_quota_used:
            reset = self._availability.note_quota_used(model)
            log.warning("the quota of %s is used up until %s", model, iso(reset))
            self._out_of_quota(run, model)
            run.out_of_day_quota()
            return None
        after = failed.retry_seconds
        run.quota[model] = RATE_LIMIT_SECONDS if after is None else max(1, math.ceil(after))
        run.last = run.limited()
        return after if after is not None else self._backoff(attempt)

    def _rejected(self, run: _Run, model: str, failed: CallFailed, attempt: int) -> float:
        """Handle a 4xx. Returns the seconds until another attempt if an image could not be decoded; else raises."""
        answer = f"{failed.status} {failed.name}".strip()
        if failed.image_unreadable:
            run.last = ModelFailed(IMAGE_DETAILS)
            if run.image_unreadable:
                raise run.with_warnings(run.last)
            run.image_unreadable = True
            return self._backoff(attempt)
        if failed.name == "FAILED_PRECONDITION":
            log.error("%s: the service does not serve this account (%s): check its region and billing", model, answer)
            raise run.with_warnings(AccountRefused(ACCOUNT_DETAILS.format(reason=answer)))
        log.error("%s: the service answered %s", model, answer)
        raise run.with_warnings(ModelFailed(f"The model's service answered {answer}: it does not accept this request"))

    def _without_image(self, run: _Run, model: str, reply: Reply) -> float | None:
        """Note a reply without an image. Raises where another call would not help: a refusal, a limited account."""
        if reply.account_limited:
            self._note(run, model, "model_error", reply.usage)
            log.error("%s: the service has limited this account (%s)", model, reply.finish_reason)
            raise run.with_warnings(AccountRefused(ACCOUNT_DETAILS.format(reason=reply.finish_reason)))
        self._note(run, model, "refused" if reply.refused else "no_image", reply.usage)
        kind = Refused if reply.refused else NoImage
        run.last = kind(reply.advice, text=reply.shown_text, finish_reason=reply.finish_reason)
        if reply.refused:
            raise run.with_warnings(run.last)
        return 0.0

    def _backoff(self, attempt: int) -> float:
        """Return the seconds of an exponential backoff with full jitter."""
        return self._random.uniform(0, FIRST_BACKOFF_SECONDS * 2**attempt)

    async def close(self) -> None:
        """Close the provider."""
        await self._provider.close()


def _retired_warning(link: Link) -> list[str]:
    return [] if link.retired is None else [link.retired.warning()]


def _in_context(run: _Run, model: str, inputs: CallInputs) -> bool:
    """Return whether the earlier turns are replayed to `model`: only those of its own family."""
    made_by = inputs.turns_of
    return made_by is not None and catalog.family(made_by) == catalog.family(model) and not run.turns_refused


def _why_without_context(run: _Run, model: str, turns_of: str | None) -> str:
    """Return why `model` did not receive the earlier turns."""
    if run.turns_refused:
        return "the service does not accept the earlier turns any more"
    return _other_family(model, turns_of) or "the earlier turns cannot be read any more"


def _other_family(model: str, turns_of: str | None) -> str | None:
    """Return why the turns of another model cannot be replayed to `model`; None where they can."""
    if turns_of is None:
        return "no earlier turns can be replayed for this edit"
    if catalog.family(turns_of) != catalog.family(model):
        return f"the earlier turns are of {turns_of}"
    return None


def _without_context(model: str, reason: str) -> str:
    return f"context_not_kept: {model} receives the earlier image without the turns that led to it: {reason}"


def _none_can(models: tuple[str, ...], options: Options, inputs: int, field_name: str) -> InvalidRequest:
    """Return the error that says what each model cannot do, so that the caller can choose other options."""
    lacks = (catalog.lack(model, options, inputs) for model in models)
    return InvalidRequest("; ".join(lack.sentence for lack in lacks if lack is not None), field=field_name)


def _generated(run: _Run, model: str, options: Options, reply: Reply, image: Image) -> Generated:
    reduced = reduction(image.width, image.height, options)
    warnings = run.warnings if reduced is None else [*run.warnings, f"size_reduced: {reduced}"]
    return Generated(
        image,
        reply.text,
        model,
        reply.usage or Usage(),
        tuple(run.attempts),
        tuple(warnings),
        reply.turn,
        reply.in_context,
    )


def _left_too_little(run: _Run) -> str:
    return "No time was left for another attempt" if run.attempts else "No time was left to call a model"
