"""The record of one generation, and the states it can be in. Its stored form is in `record_codec`."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from image_core.auth.user import User
from image_core.generations.failure import Failure
from image_core.images.image import Image
from image_core.images.region import Crop
from image_core.models.generated import CANCELED, OK, Attempt, Generated, Options, Usage, merged
from image_core.storage.input_copies import InputCopy


class Status(StrEnum):
    """The state of a generation. `deleting`: it is hidden from its user while what it stored is removed."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    DELETING = "deleting"

    @property
    def ended(self) -> bool:
        """Whether the generation has a result that its user can see."""
        return self in {Status.SUCCEEDED, Status.FAILED, Status.CANCELED}


MAX_TEXT_BYTES = 64 * 1024
"""The longest text of a model that is kept: a document may have 2 MB."""

LOST = "lost"
"""The outcome of a call whose process ended before the answer was written."""

MAX_ATTEMPTS = 60
"""Beyond it, attempts that were not billed are dropped, oldest first, when a generation is run again."""

WARNING_RECOVERED = "recovered: the image was found after its process died; what the model said is not known"
WARNING_PENDING = "record_pending: the database did not answer; the record will show the end of this generation shortly"
WARNING_METADATA_LOST = (
    "metadata_lost: the conversion to another format dropped the Content Credentials (C2PA) of the model's file"
)
WARNING_MASK_MISALIGNED = (
    "mask_misaligned: the model shows the surroundings of the mask elsewhere or changed; "
    "the edge of the edited part may be visible"
)
WARNING_MASK_NOT_APPLIED = (
    "mask_not_applied: the model's image could not be put into the first image, and is stored as the model made it"
)
WARNING_TEXT_TRUNCATED = "text_truncated: the model's text was longer than 64 KB and was cut"


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """What a model was shown and what it answered: the user's images and prompt, and the answer as it came.

    The blob `name` (`storage.turns`) has the prompt and the answer, `inputs` are private copies.
    """

    name: str
    model: str
    size: int
    """Length of the blob, in bytes."""
    images: int
    """Number of images in the answer, drafts included."""
    characters: int
    """Length of the prompt and the answer's text together, in characters."""
    inputs: tuple[InputCopy, ...]


@dataclass(frozen=True, slots=True)
class MaskedEdit:
    """A generation that edits a part of its first input. `mask` and `sent` are private copies, as the inputs' are."""

    mask: InputCopy
    """White where the image is edited, else black."""
    sent: InputCopy
    """The crop, which the model gets instead of the first input."""
    crop: Crop
    size: tuple[int, int]
    """Width and height of the upright first input, in pixels."""
    original: str | None
    """The name of its file in `InputCopies.read_original`; None where its copy has the same pixels."""
    edited_bytes: int
    """The length of the file whose pixels are kept: of `original`, or of the first input's copy."""

    @property
    def inner_crop(self) -> Crop:
        """The crop without what lies beyond the image."""
        return Crop(self.crop.box.within(self.size), self.crop.aspect_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A generation. Times are in UTC, to the millisecond.

    A method that is named for a state (`succeeded`, `released`, …) returns a new record in this state.
    """

    id: str
    user_id: str
    prompt: str
    input_images: tuple[str, ...]
    inputs: tuple[InputCopy, ...]
    options: Options
    created_at: datetime
    request_hash: str
    """The fingerprint of its request (`idempotency.fingerprint`)."""
    blob_stem: str
    """The name of its image without the extension. It contains a random token, so that it is never used again."""
    edit: MaskedEdit | None = None
    status: Status = Status.RUNNING
    output_image_url: str | None = None
    model: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    text: str | None = None
    usage: Usage | None = None
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    completed_at: datetime | None = None
    lease_owner: str | None = None
    """Random token that identifies the lease, or the last one."""
    lease_expires_at: datetime | None = None
    """None when nothing is left to do: the index then has no entry for it."""
    attempt_count: int = 0
    """How many runs have called a model, or were about to."""
    lost_claims: int = 0
    """How many processes had the lease and ended without giving it back."""
    run_id: str | None = None
    """Random token of the newest run that called a model, written before its first call.

    The ids of its ledger entries begin with it.
    """
    expected_usd: float | None = None
    """The most that it is expected to cost, in US dollars: budgets count this until it ends."""
    parent_id: str | None = None
    """The generation whose image this one edits; it may have been deleted since."""
    root_id: str | None = None
    """The first generation of its chain; None where it began without an earlier one."""
    context: tuple[StoredTurn, ...] = ()
    """The earlier turns, oldest first: while it runs those that may be replayed, then those that were."""
    turn: StoredTurn | None = None
    """Its own turn, to be replayed when its image is edited; None where it has none that can be."""
    trace_parent: str | None = None
    """The `traceparent` of the request that began it (W3C Trace Context), for the log line."""
    cancel_requested_at: datetime | None = None
    """When its caller canceled it while it ran. An image that is stored nevertheless is kept."""
    timings: dict[str, int] | None = None
    """Milliseconds of each step (`trace.Trace.timings`); None where no run has ended."""
    etag: str = ""
    """The version that was read; not part of the document."""

    @property
    def sent(self) -> tuple[InputCopy, ...]:
        """The copies of what the model gets."""
        return self.inputs if self.edit is None else (self.edit.sent, *self.inputs[1:])

    @property
    def model_options(self) -> Options:
        """The options that the model gets: for a masked edit, with the shape of the crop."""
        return self.options if self.edit is None else replace(self.options, aspect_ratio=self.edit.crop.aspect_ratio)

    @property
    def user(self) -> User:
        """The user whose generation it is."""
        return User(self.user_id)

    def attempts_of_run(self) -> tuple[Attempt, ...]:
        """Return the attempts of the newest run, as far as they are in the record."""
        if self.run_id is None:
            return ()
        return tuple(attempt for attempt in self.attempts if (attempt.id or "").startswith(self.run_id))

    def is_gone(self, earlier: "Record") -> bool:
        """Return whether the generation that was read as `earlier` was deleted; this record is stored under its id.

        Another stem is another generation: its key was free again.
        """
        return self.status is Status.DELETING or self.blob_stem != earlier.blob_stem

    def leased(self, now: datetime) -> bool:
        """Return whether a process has the lease at `now`."""
        return self.lease_owner is not None and self.lease_expires_at is not None and self.lease_expires_at > now

    def claimed(self, owner: str, until: datetime) -> "Record":
        """Return it leased to `owner`."""
        lost = self.lost_claims + (self.lease_owner is not None)
        return replace(self, lease_owner=owner, lease_expires_at=until, lost_claims=lost)

    def started(self, run_id: str, now: datetime) -> "Record":
        """Return it with a new run, to be written before its first call: the record then shows a call that is lost."""
        return replace(
            self, run_id=run_id, attempt_count=self.attempt_count + 1, attempts=self.attempts + self.lost(now)
        )

    def lost(self, now: datetime) -> tuple[Attempt, ...]:
        """Return the call of a process that died before it wrote its outcome, at the expected price; empty for none."""
        if self.run_id is None or any(attempt.outcome in {OK, CANCELED} for attempt in self.attempts_of_run()):
            return ()
        lost_id = f"{self.run_id}-lost"
        if any(attempt.id == lost_id for attempt in self.attempts):
            return ()
        model = self.options.model or "unknown"
        return (Attempt(model, LOST, 0, None, now, lost_id, self.expected_usd or 0.0),)

    @property
    def canceling(self) -> bool:
        """Whether the process that runs it has to stop."""
        return self.status is Status.RUNNING and self.cancel_requested_at is not None

    def reopened(self, owner: str | None, until: datetime, expected_usd: float) -> "Record":
        """Return it to be run again because its caller asks; the calls so far stay in it."""
        return replace(
            self,
            status=Status.RUNNING,
            attempts=bounded(self.attempts),
            failure=None,
            completed_at=None,
            timings=None,
            cancel_requested_at=None,
            lease_owner=owner,
            lease_expires_at=until,
            attempt_count=0,
            lost_claims=0,
            run_id=None,
            expected_usd=expected_usd,
        )

    def released(self, now: datetime) -> "Record":
        """Return it without a lease."""
        return replace(self, lease_owner=None, lease_expires_at=now)

    def deleting(self, until: datetime, *, leased: bool) -> "Record":
        """Return it hidden. With `leased` the lease stays: its process may still store an image."""
        owner = self.lease_owner if leased else None
        return replace(self, status=Status.DELETING, lease_owner=owner, lease_expires_at=until)

    def succeeded(self, url: str, generated: Generated, owner: str | None, now: datetime) -> "Record":
        """Return it with its image. `owner` distinguishes a lost acknowledgement from a conflict."""
        text, warnings = generated.text, generated.warnings
        if text is not None and (kept := cut(text)) != text:
            text, warnings = kept, (*warnings, WARNING_TEXT_TRUNCATED)
        attempts = merged(self.attempts, generated.attempts)
        return replace(
            self,
            status=Status.SUCCEEDED,
            output_image_url=url,
            model=generated.model,
            mime_type=generated.image.mime_type,
            width=generated.image.width,
            height=generated.image.height,
            text=text,
            usage=total(attempts) or generated.usage,
            attempts=attempts,
            failure=None,
            warnings=warnings,
            context=self.context if generated.in_context else (),
            completed_at=now,
            lease_owner=owner,
            lease_expires_at=None,
        )

    def recovered(self, url: str, image: Image, now: datetime) -> "Record":
        """Return it with an image that was found: the process that stored it died before it completed the record."""
        made_by = next((attempt.model for attempt in reversed(self.attempts) if attempt.outcome == OK), None)
        return replace(
            self,
            status=Status.SUCCEEDED,
            output_image_url=url,
            model=made_by,
            usage=total(self.attempts),
            mime_type=image.mime_type,
            width=image.width,
            height=image.height,
            failure=None,
            warnings=(WARNING_RECOVERED,),
            context=(),
            completed_at=now,
            lease_expires_at=None,
        )

    def billed(self, made: tuple[Attempt, ...]) -> "Record":
        """Return it with these calls, whatever else becomes of it."""
        attempts = merged(self.attempts, made)
        return replace(self, attempts=attempts, usage=total(attempts))

    def failed(
        self, failure: Failure, attempts: tuple[Attempt, ...], warnings: tuple[str, ...], now: datetime
    ) -> "Record":
        """Return it ended without an image."""
        return replace(
            self,
            status=Status.FAILED,
            failure=failure,
            attempts=merged(self.attempts, attempts),
            warnings=warnings,
            usage=total(merged(self.attempts, attempts)),
            completed_at=now,
            lease_expires_at=None,
        )

    def canceled(self, failure: Failure, attempts: tuple[Attempt, ...], now: datetime) -> "Record":
        """Return it ended without an image because its caller asked. `failure` says what was billed."""
        return replace(self.failed(failure, attempts, (), now), status=Status.CANCELED)


@dataclass(frozen=True, slots=True)
class Summary:
    """The fields of a record that reconciliation compares with images."""

    id: str
    user_id: str
    status: Status
    blob_stem: str | None
    output_image_url: str | None
    lease_expires_at: datetime | None


def bounded(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return at most MAX_ATTEMPTS, and all that were billed: a generation may be run again any number of times."""
    surplus = len(attempts) - MAX_ATTEMPTS
    kept = []
    for attempt in attempts:
        if surplus > 0 and attempt.usage is None and attempt.estimated_usd is None:
            surplus -= 1
        else:
            kept.append(attempt)
    return tuple(kept)


def cut(text: str) -> str:
    """Return the beginning of `text` in MAX_TEXT_BYTES of UTF-8, in whole characters."""
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")


def total(attempts: tuple[Attempt, ...]) -> Usage | None:
    """Return the sum of what was billed, None where nothing was; an unknown price makes the sum unknown."""
    billed = [attempt.usage for attempt in attempts if attempt.usage is not None]
    if not billed:
        return None
    prices = [usage.cost_usd for usage in billed]
    return Usage(
        sum(usage.input_tokens or 0 for usage in billed),
        sum(usage.output_tokens or 0 for usage in billed),
        None if None in prices else round(sum(price for price in prices if price is not None), 6),
        dict(sum((Counter(usage.input_by_modality) for usage in billed), Counter())),
        dict(sum((Counter(usage.output_by_modality) for usage in billed), Counter())),
    )
