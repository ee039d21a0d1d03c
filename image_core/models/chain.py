"""The chain of models: which is asked, how often, and what is said when none of them made an image.

A model is skipped where the catalog says that it cannot make what is asked for, while its quota of the day is used up, and
for an hour after it answered 404. For each other model up to two attempts: again on 429 (after its RetryInfo, if that fits),
408, 499 or 5xx, a broken connection, an answer that makes no sense, one without an image that is no refusal, or an input
that the service could not decode; the next model on 404, at a daily quota, and when the attempts are used up; never again
after another 400, 401, 403 or a refusal.

The outcomes of attempts: `ok`, `rate_limited`, `model_unavailable` (408, 499, 5xx), `connection_lost`, `invalid_reply`,
`no_image`, `refused`, `context_refused` (the earlier turns are: the model is asked again without them), `not_found`,
`model_error` (any other status), `model_auth_failed`, `deadline_exceeded`.

The warnings: `model_retired` (a name means its successor), `model_skipped` (a model's turn came, and it was not asked),
`model_gone` (the model that was asked for answered 404 within the hour), `size_reduced` (the image is smaller, or of another
shape, than asked), `context_not_kept` (the earlier image was sent without the turns that led to it).
"""

import asyncio
import logging
import math
import random as stdlib_random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus

from image_core.clock import Clock, Deadline, iso
from image_core.errors import (
    AccountRefused,
    DeadlineExceeded,
    GeminiKeyMissing,
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
from image_core.models.catalog import Link, Retirement
from image_core.models.gemini.client import Call, CallFailed, Gemini, TurnsRefused
from image_core.models.gemini.response import Reply
from image_core.models.generated import CANCELED, Attempt, Generated, Options, Usage
from image_core.models.hold import Hold
from image_core.models.probe import Probed, State
from image_core.models.quota import DayQuotas
from image_core.models.shape import reduction
from image_core.settings import Settings

log = logging.getLogger("image_core.models")

ATTEMPTS = 2
LEAST_SECONDS = 10.0
"""The service refuses a shorter timeout: with less time left nothing more is begun."""
RETIRED_FOR = timedelta(hours=1)
FIRST_BACKOFF_SECONDS = 2.0
RATE_LIMIT_SECONDS = 30
"""`Retry-After` where the service did not say when."""
OVERLOADED_SECONDS = 10
UNAUTHORIZED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
PASSING = {HTTPStatus.REQUEST_TIMEOUT, 499}
"""Below 500, and of a fault that passes: the service's own timeout, and the cancellation of a call in its backend."""
NO_ROUTE = {"status 404", "status 405", "status 501"}
"""What a gateway answers that has no `GET models/NAME`."""
NOT_DESCRIBED = "unknown: the gateway does not describe models"

ACCOUNT_DETAILS = (
    "The model's service does not serve this account ({reason}). The operator of this API must check the place, the billing "
    "and the limits of the Google account that GEMINI_API_KEY belongs to."
)
TURNS_DETAILS = "The model's service did not take the earlier turns, and the image could not be read to be sent without"
IMAGE_DETAILS = (
    "The model could not process one of the input images. Save it again as PNG or JPEG, or use another image."
)


@dataclass(slots=True)
class _Run:
    """One generation's way through the chain."""

    noted: Callable[[Attempt], None]
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quota: dict[str, int] = field(default_factory=dict)
    """Models whose quota is used up, with the seconds until there is some again."""
    resets: dict[str, datetime] = field(default_factory=dict)
    """Of those, the models whose quota is one of the day."""
    image_unreadable: bool = False
    began: float = 0.0
    """When the newest call began, on the monotonic clock."""
    turns_refused: bool = False
    """A model did not take the earlier turns."""
    last: ModelError = field(default_factory=lambda: ModelFailed("None of the configured models exists"))

    def ended(self, error: ModelError) -> ModelError:
        error.warnings = tuple(self.warnings)
        return error

    def out_of_day_quota(self) -> None:
        """A model has no quota until the reset. Where another one failed for a reason that passes sooner, that one counts."""
        if isinstance(self.last, RateLimited | ModelFailed):
            self.last = self.limited()

    def limited(self) -> RateLimited:
        """Any of the models would do: the first that has some quota again is worth coming back for."""
        first = min(self.quota, key=self.quota.__getitem__)
        reset = self.resets.get(first)
        if reset is None:
            return RateLimited(retry_after=self.quota[first])
        details = f"The quota of the day is used up; there is some again at {iso(reset)}"
        return RateLimited(details, retry_after=self.quota[first], resets_at=reset)


class ModelChain:
    """One for the process: it remembers which models are gone or out of quota, and keeps the client."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, random: stdlib_random.Random | None = None
    ) -> None:
        self._names = settings.gemini_models
        self._gateway = settings.gemini_base_url is not None
        self._has_key = settings.gemini_api_key is not None
        self._clock = clock or Clock()
        self._gemini = Gemini(settings, self._clock)
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter, no secret
        self._gone: dict[str, datetime] = {}
        self._quotas = DayQuotas(self._clock)
        self._warned: set[str] = set()
        self._warn_of_retirements()

    def _warn_of_retirements(self) -> None:
        """One line in the log for each configured name that is retired, or will be within the month; once for a process."""
        for each in self.retiring():
            if each.name not in self._warned:
                self._warned.add(each.name)
                log.warning("%s retires on %s: put %s into GEMINI_MODELS instead", each.name, each.on, each.successor)

    def retiring(self) -> tuple[Retirement, ...]:
        """The configured names that are retired, or will be within the month."""
        return catalog.retiring(self._names, self._clock.now().date())

    def links(self) -> tuple[Link, ...]:
        """The models that GEMINI_MODELS means today, in their order."""
        return catalog.chain(self._names, self._clock.now().date())

    def models(self) -> tuple[str, ...]:
        return tuple(link.model for link in self.links())

    def _ordered(self, options: Options) -> tuple[Link, ...]:
        """The links in the order of one request: the model that it names first."""
        today = self._clock.now().date()
        links = catalog.chain(self._names, today)
        if options.model is None:
            return links
        named = Link(catalog.current(options.model, today), catalog.retirement(options.model, today))
        return (named, *(link for link in links if link.model != named.model))

    def check_key(self) -> None:
        """Raise GeminiKeyMissing where no model can be called."""
        if not self._has_key:
            raise GeminiKeyMissing

    def check_options(self, options: Options, inputs: int = 0) -> None:
        """Raises InvalidRequest where a model is asked for that is not in the chain, or where no model can take the request."""
        today = self._clock.now().date()
        models = self.models()
        if options.model is not None and catalog.current(options.model, today) not in models:
            raise InvalidRequest(f"One of {', '.join(models)}", field="model")
        lacking = catalog.lacking_field(models, options, inputs)
        if lacking is not None:
            raise _nobody_can(models, options, inputs, lacking)

    def check_quota(self, options: Options, inputs: int) -> None:
        """Raises RateLimited where the quota of the day is known to be used up for every model that could be asked."""
        run = _Run(lambda _: None)
        for link in self._able(options, inputs):
            if not self._out_of_quota(run, link.model):
                return
        if run.quota:
            raise run.limited()

    def first(self, options: Options, inputs: int = 0) -> str:
        """The model that would be asked first now."""
        able = self._able(options, inputs)
        gone = self.retired()
        usable = [link for link in able if link.model not in gone and self._quotas.until(link.model) is None]
        return (usable or able or self._ordered(options))[0].model

    def shapes(self, options: Options, inputs: int) -> Mapping[str, tuple[int, int]]:
        """Return the aspect ratios, with their pixels in 1K, that every model makes which may be asked."""
        return catalog.shapes(link.model for link in self._able(options, inputs))

    def warnings(self, options: Options, inputs: int) -> tuple[str, ...]:
        """What is to be said of the models up to the first that would be asked now."""
        run, first = _Run(lambda _: None), self.first(options, inputs)
        for link in self._ordered(options):
            run.warnings += _retired_warning(link)
            if link.model == first:
                break
            self._passed_over(run, link, options, inputs, ask_gone=False)
        return tuple(run.warnings)

    def context_warning(self, model: str, turns_of: str | None) -> str | None:
        """Return the warning of an edit whose first model is not shown the earlier turns; None where it is."""
        why = _unlike(model, turns_of)
        return None if why is None else _without_context(model, why)

    def available(self, model: str) -> bool:
        """Whether `model` would be asked: it is not known to be gone or out of quota."""
        return model not in self.retired() and self._quotas.until(model) is None

    def _able(self, options: Options, inputs: int) -> tuple[Link, ...]:
        return tuple(link for link in self._ordered(options) if catalog.lack(link.model, options, inputs) is None)

    def retired(self) -> dict[str, datetime]:
        """Models that answered 404 within the last hour, and when."""
        now = self._clock.now()
        self._gone = {model: since for model, since in self._gone.items() if now - since < RETIRED_FOR}
        return dict(self._gone)

    def out_of_quota(self) -> dict[str, datetime]:
        """Models whose quota of the day is used up, and until when."""
        return self._quotas.all()

    def _out_of_quota(self, run: _Run, model: str) -> bool:
        reset = self._quotas.until(model)
        if reset is None:
            return False
        run.quota[model] = max(1, math.ceil((reset - self._clock.now()).total_seconds()))
        run.resets[model] = reset
        return True

    def _passed_over(self, run: _Run, link: Link, options: Options, inputs: int, *, ask_gone: bool) -> bool:
        """Whether the model's turn ends before it is asked; what is to be said of that goes into the run's warnings."""
        model = link.model
        lack = catalog.lack(model, options, inputs)
        if lack is not None:
            run.warnings.append(f"model_skipped: {lack.sentence}")
            return True
        if model in self.retired() and not ask_gone:
            if options.model is not None and catalog.current(options.model, self._clock.now().date()) == model:
                run.warnings.append(f"model_gone: {model} is not there any more")
            return True
        if self._out_of_quota(run, model):
            run.warnings.append(f"model_skipped: the quota of {model} is used up until {iso(run.resets[model])}")
            run.out_of_day_quota()
            return True
        return False

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
        self._warn_of_retirements()
        inputs = len(await hold.pictures())
        able = self._able(options, inputs)
        if not able:  # the chain was changed after the request was taken
            models = self.models()
            raise _nobody_can(models, options, inputs, catalog.lacking_field(models, options, inputs) or "model")
        gone = self.retired()
        ask_gone = all(link.model in gone for link in able)
        for link in self._ordered(options):
            run.warnings += _retired_warning(link)
            if self._passed_over(run, link, options, inputs, ask_gone=ask_gone):
                continue
            made = await self._asked(run, link.model, hold, prompt, options, deadline)
            if made is not None:
                return made
        raise run.ended(run.last)

    async def _asked(
        self, run: _Run, model: str, hold: Hold, prompt: str, options: Options, deadline: Deadline
    ) -> Generated | None:
        """Ask one model, a second time where that may help. None: it is the next one's turn. Raises ModelError."""
        call = Call(model, prompt, options.aspect_ratio, options.image_size, _in_context(run, model, hold))
        for attempt in range(ATTEMPTS):
            try:
                reply = await self._replied(run, call, hold, deadline)
            except TimeoutError:
                self._note(run, model, "deadline_exceeded")
                raise run.ended(DeadlineExceeded("The model did not answer in time")) from None
            except asyncio.CancelledError:
                self._note(run, model, CANCELED)
                raise
            except ImageError as error:
                if isinstance(error, ModelError) or not run.attempts:
                    raise
                log.warning("the inputs could not be read again: %s", error.code)
                raise run.ended(run.last) from error
            except CallFailed as failed:
                wait = self._failed(run, model, failed, attempt)
            else:
                if reply.picture is not None:
                    self._note(run, model, "ok", reply.usage)
                    if hold.continues and not reply.in_context:
                        run.warnings.append(_without_context(model, _why_not(run, model, hold.turns_of)))
                    return _generated(run, model, options, reply, reply.picture)
                wait = self._without_picture(run, model, reply)
            if wait is None or attempt + 1 == ATTEMPTS or wait + LEAST_SECONDS > deadline.remaining():
                break
            await self._clock.sleep(wait)
        return None

    async def _replied(self, run: _Run, call: Call, hold: Hold, deadline: Deadline) -> Reply:
        """Call the model, and again without the earlier turns where the service refuses them: that costs nothing.

        Raises what `Gemini.generate` does, but not TurnsRefused, and DeadlineExceeded where too little time is left.
        """
        if deadline.remaining() < LEAST_SECONDS:
            raise run.ended(DeadlineExceeded(_left_too_little(run)))
        call = replace(call, in_context=call.in_context and not run.turns_refused)
        run.began = self._clock.monotonic()
        try:
            return await self._gemini.generate(call, hold, deadline.remaining())
        except TurnsRefused:
            self._note(run, call.model, "context_refused")
        log.warning("%s does not take the earlier turns: it is asked without them", call.model)
        run.turns_refused = True
        run.last = ModelFailed(TURNS_DETAILS)
        return await self._replied(run, call, hold, deadline)

    def _note(self, run: _Run, model: str, outcome: str, usage: Usage | None = None) -> None:
        seconds = self._clock.monotonic() - run.began
        milliseconds = round(seconds * 1000)
        attempt = Attempt(model, outcome, milliseconds, usage, self._clock.now() - timedelta(seconds=seconds))
        run.attempts.append(attempt)
        run.noted(attempt)
        log.info("%s: %s after %d ms", model, outcome, milliseconds)

    def _failed(self, run: _Run, model: str, failed: CallFailed, attempt: int) -> float | None:
        """Note a call without a reply. Returns the seconds to wait before the same model is asked again, None for never.

        Raises the error where no model would answer better.
        """
        status = failed.status
        note = partial(self._note, run, model)
        if failed.key_refused or status in UNAUTHORIZED:
            note(outcome="model_auth_failed")
            raise run.ended(ModelAuthFailed("The service refused the API key; an operator must check GEMINI_API_KEY"))
        if status == HTTPStatus.NOT_FOUND:
            note(outcome="not_found")
            self._gone[model] = self._clock.now()
            log.warning("%s is gone (404): not asked again for an hour", model)
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
        """A 429: wait for a quota of minutes; leave the model out until the reset at one of the day."""
        if failed.day_quota_used:
            reset = self._quotas.used_up(model)
            log.warning("the quota of %s is used up until %s", model, iso(reset))
            self._out_of_quota(run, model)
            run.out_of_day_quota()
            return None
        after = failed.retry_seconds
        run.quota[model] = RATE_LIMIT_SECONDS if after is None else max(1, math.ceil(after))
        run.last = run.limited()
        return after if after is not None else self._backoff(attempt)

    def _rejected(self, run: _Run, model: str, failed: CallFailed, attempt: int) -> float:
        """A 4xx. Returns the seconds before one more try at an image that could not be decoded; raises for all others."""
        answer = f"{failed.status} {failed.name}".strip()
        if failed.image_unreadable:
            run.last = ModelFailed(IMAGE_DETAILS)
            if run.image_unreadable:
                raise run.ended(run.last)
            run.image_unreadable = True
            return self._backoff(attempt)
        if failed.name == "FAILED_PRECONDITION":
            log.error("%s: the service does not serve this account (%s): check its place and billing", model, answer)
            raise run.ended(AccountRefused(ACCOUNT_DETAILS.format(reason=answer)))
        log.error("%s: the service answered %s", model, answer)
        raise run.ended(ModelFailed(f"The model's service answered {answer}: it does not take this request"))

    def _without_picture(self, run: _Run, model: str, reply: Reply) -> float | None:
        """Note a reply without an image. Raises where another model would only cost more: a refusal, a limited account."""
        if reply.account_limited:
            self._note(run, model, "model_error", reply.usage)
            log.error("%s: the service has limited this account (%s)", model, reply.finish_reason)
            raise run.ended(AccountRefused(ACCOUNT_DETAILS.format(reason=reply.finish_reason)))
        self._note(run, model, "refused" if reply.refused else "no_image", reply.usage)
        kind = Refused if reply.refused else NoImage
        run.last = kind(reply.sentence, text=reply.words, finish_reason=reply.finish_reason)
        if reply.refused:
            raise run.ended(run.last)
        return 0.0

    def _backoff(self, attempt: int) -> float:
        """Exponential, with full jitter."""
        return self._random.uniform(0, FIRST_BACKOFF_SECONDS * 2**attempt)

    async def probe(self, seconds: float) -> list[Probed]:
        """How each model of the chain stands. Costs nothing: it is asked for its description."""
        found = await asyncio.gather(*(self._described(model, seconds) for model in self.models()))
        # A gateway that describes no model has no route for it: that says nothing of its generations.
        describes = not self._gateway or any(failed is None for _, failed in found)
        return [self._probed(model, failed, describes=describes) for model, failed in found]

    async def _described(self, model: str, seconds: float) -> tuple[str, CallFailed | str | None]:
        try:
            async with asyncio.timeout(seconds):
                await self._gemini.exists(model)
        except TimeoutError:
            return model, "timeout"
        except CallFailed as failed:
            return model, failed
        return model, None

    async def tried(self, model: str, seconds: float) -> Probed:
        """How a model stands, by the smallest call there is, which costs less than a hundredth of a cent.

        It shows what a description does not: a daily quota that is used up, an account that is not served.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._gemini.smallest_call(model)
        except TimeoutError:
            return Probed(model, State.DOWN, "timeout")
        except CallFailed as failed:
            return self._failure_of_try(model, failed)
        return Probed(model, State.OK)

    def _failure_of_try(self, model: str, failed: CallFailed) -> Probed:
        reason = "unreachable" if failed.status is None else f"status {failed.status} {failed.name}".rstrip()
        if failed.key_refused or failed.status in UNAUTHORIZED:
            return Probed(model, State.KEY_REFUSED, reason)
        if failed.status == HTTPStatus.NOT_FOUND:
            return Probed(model, State.GONE, reason)
        if failed.day_quota_used:
            return Probed(model, State.NO_QUOTA, f"quota used up until {iso(self._quotas.used_up(model))}")
        if failed.name == "FAILED_PRECONDITION":
            return Probed(model, State.ACCOUNT_REFUSED, reason)
        if failed.status == HTTPStatus.BAD_REQUEST:
            return Probed(model, State.OK)  # it is there, and takes no such call
        return Probed(model, State.DOWN, reason)

    def _probed(self, model: str, failed: CallFailed | str | None, *, describes: bool) -> Probed:
        reset = self._quotas.until(model)
        if failed is None and reset is not None:
            return Probed(model, State.NO_QUOTA, f"quota used up until {iso(reset)}")
        if failed is None:
            return Probed(model, State.OK)
        if isinstance(failed, CallFailed) and (failed.key_refused or failed.status in UNAUTHORIZED):
            return Probed(model, State.KEY_REFUSED, f"status {failed.status}")
        if isinstance(failed, CallFailed) and failed.status is None and not failed.lost and self._gateway:
            return Probed(model, State.UNKNOWN, NOT_DESCRIBED)  # a page, say: there is no such route
        if isinstance(failed, str) or failed.status is None:
            return Probed(model, State.DOWN, failed if isinstance(failed, str) else "unreachable")
        reason = f"status {failed.status}"
        if reason not in NO_ROUTE:
            return Probed(model, State.DOWN, reason)
        if model in self.retired() or describes or failed.names_model:
            return Probed(model, State.GONE, reason)
        return Probed(model, State.UNKNOWN, NOT_DESCRIBED)

    async def close(self) -> None:
        await self._gemini.close()


def _retired_warning(link: Link) -> list[str]:
    return [] if link.retired is None else [link.retired.warning()]


def _in_context(run: _Run, model: str, hold: Hold) -> bool:
    """Whether `model` is to be shown the earlier turns: those of its own family."""
    made_by = hold.turns_of
    return made_by is not None and catalog.family(made_by) == catalog.family(model) and not run.turns_refused


def _why_not(run: _Run, model: str, turns_of: str | None) -> str:
    """Why `model` was not shown the earlier turns."""
    if run.turns_refused:
        return "the service does not take the earlier turns any more"
    return _unlike(model, turns_of) or "the earlier turns cannot be read any more"


def _unlike(model: str, turns_of: str | None) -> str | None:
    """Why `model` cannot be shown the turns of another model; None where it can."""
    if turns_of is None:
        return "there are no earlier turns that can be replayed"
    if catalog.family(turns_of) != catalog.family(model):
        return f"the earlier turns are of {turns_of}"
    return None


def _without_context(model: str, why: str) -> str:
    return f"context_not_kept: {model} is shown the earlier image without the turns that led to it: {why}"


def _nobody_can(models: tuple[str, ...], options: Options, inputs: int, field_name: str) -> InvalidRequest:
    """The sentences say what each model lacks, so that a caller can choose something else."""
    lacks = (catalog.lack(model, options, inputs) for model in models)
    return InvalidRequest("; ".join(lack.sentence for lack in lacks if lack is not None), field=field_name)


def _generated(run: _Run, model: str, options: Options, reply: Reply, picture: Image) -> Generated:
    reduced = reduction(picture.width, picture.height, options)
    warnings = run.warnings if reduced is None else [*run.warnings, f"size_reduced: {reduced}"]
    return Generated(
        picture,
        reply.text,
        model,
        reply.usage or Usage(),
        tuple(run.attempts),
        tuple(warnings),
        reply.turn,
        reply.in_context,
    )


def _left_too_little(run: _Run) -> str:
    return "No time was left for another attempt" if run.attempts else "No time was left to ask a model"
