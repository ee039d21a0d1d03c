"""One call of a Gemini model: through the SDK's async client, with none of its own retries, its failures told apart."""

import asyncio
import base64
import json
import logging
import os
import re
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from image_core.clock import Clock
from image_core.errors import GeminiKeyMissing
from image_core.models.gemini.response import Reply, read
from image_core.models.gemini.streaming import REQUEST_ARGUMENTS, Exchange, MarkLost, new_session
from image_core.models.hold import Hold
from image_core.models.prices import max_output_tokens
from image_core.runtime.offload import offloaded
from image_core.settings import Settings

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

log = logging.getLogger("image_core.models")

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
KEY_REASONS = {"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"}

API_VERSION = "v1beta"
"""The one that has preview models and `imageConfig` (ai.google.dev/gemini-api/docs/api-versions). The SDK's own is `v1`."""
RPC_CODE = re.compile(r"[A-Z_]{2,40}")

NO_QUOTA = re.compile(r"\blimit:\s*0(?!\d|[.,]\d)", re.IGNORECASE)
"""In the message of a 429: there is no quota at all, whatever `RetryInfo` says."""

UNREADABLE_IMAGE = "unable to process input image"
"""In the message of a 400: of the service's decoder, which fails now and then for images that it takes a second time."""

STATUS_OF_NAME: Mapping[str, HTTPStatus] = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "FAILED_PRECONDITION": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Of google.rpc.Code, for an error object that has no number. What is not here is an internal error."""

LONGEST_WAIT_SECONDS = 1_000_000
LONGEST_ERROR_CHARACTERS = 1_000_000


class CallFailed(Exception):
    """The service did not answer with a reply.

    `status` is the HTTP status, None where there was none (`lost`: the connection broke; else the answer made no sense).
    `name` is the service's word for it (google.rpc.Code: `INVALID_ARGUMENT`, …), which holds nothing of the request.
    """

    def __init__(
        self,
        status: int | None,
        *,
        name: str = "",
        lost: bool = False,
        key_refused: bool = False,
        retry_seconds: float | None = None,
        day_quota_used: bool = False,
        image_unreadable: bool = False,
        names_model: bool = False,
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.name = name
        self.lost = lost
        self.key_refused = key_refused
        self.retry_seconds = retry_seconds
        """By `RetryInfo` or `Retry-After`, the longer of both."""
        self.day_quota_used = day_quota_used
        """No wait helps before the quota's reset: it is one of the day, or there is none."""
        self.image_unreadable = image_unreadable
        """The service could not decode one of the input images."""
        self.request_refused = (
            status == HTTPStatus.BAD_REQUEST
            and not (key_refused or image_unreadable)
            and name in {"", "INVALID_ARGUMENT"}
        )
        """It is about what was asked: neither the account, nor the key, nor the service's decoder."""
        self.names_model = names_model
        """The message names a model: it is the Gemini API's own, and not that of a gateway without such a route."""


class TurnsRefused(Exception):
    """The service does not take the earlier turns: a signature that it has given up, say. Nothing is billed for it."""


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks a model for, beside the images. `in_context`: it is shown the earlier turns, where they are there."""

    model: str
    prompt: str
    aspect_ratio: str | None = None
    image_size: str | None = None
    in_context: bool = False


class Gemini:
    """The client of the process: made at the first call, kept with its connections."""

    def __init__(self, settings: Settings, clock: Clock | None = None, exchange: type[Exchange] = Exchange) -> None:
        self._settings = settings
        self._exchange = exchange
        self._clock = clock or Clock()
        self._client: genai.Client | None = None
        self._http: aiohttp.ClientSession | None = None
        self._making = asyncio.Lock()

    async def _connected(self) -> "genai.Client":
        if self._client is None:
            async with self._making:
                if self._client is None:
                    self._http = self._http or new_session()
                    # The import takes up to a second: other requests go on meanwhile.
                    self._client = await asyncio.to_thread(_make_client, self._settings, self._http)
        return self._client

    async def generate(self, call: Call, hold: Hold, seconds: float) -> Reply:
        """Ask once, for at most `seconds` (at least 10: the service refuses less).

        Raises CallFailed, TurnsRefused, TimeoutError, and what reading the inputs again raises.
        """
        until = asyncio.get_running_loop().time() + seconds
        ask = partial(self._ask, await self._connected(), call, hold, until, seconds)
        try:
            return await ask(sdk_alone=False)
        except MarkLost:
            log.error("google-genai writes its requests in another way than it did: this call is made by the SDK alone")  # noqa: TRY400 - it says all there is
        return await ask(sdk_alone=True)

    async def _ask(
        self,
        client: "genai.Client",
        call: Call,
        hold: Hold,
        until: float,
        seconds: float,
        *,
        sdk_alone: bool,
    ) -> Reply:
        from google.genai import types  # noqa: PLC0415 - there once the client is

        config = types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=call.aspect_ratio, image_size=call.image_size)
            if call.aspect_ratio or call.image_size
            else None,
            max_output_tokens=max_output_tokens(call.model, call.image_size),
            # There are no functions to call: looking for some costs a deep copy and a line in the log for each call.
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            # After a reply that is to be continued the SDK would call again by itself, which is paid for again.
            automatic_continuation=False,
            http_options=types.HttpOptions(timeout=int(seconds * 1000)),
        )
        async with asyncio.timeout_at(until):
            exchange = await self._begun(call, hold, until, sdk_alone=sdk_alone)
        with exchange:
            contents = _contents(exchange, call.prompt, sdk_alone=sdk_alone)
            in_context = len(contents) > 1
            request = client.aio.models.generate_content(model=call.model, contents=contents, config=config)
            del contents
            try:
                response = await self._called(request, until, exchange)
            except CallFailed as failed:
                if in_context and failed.request_refused:
                    raise TurnsRefused from failed
                raise
            if not exchange.left and not sdk_alone:  # by another way than our session: with marks in place of images
                raise MarkLost
            answer = _answer_of(response, exchange.answer)
            if answer.get("error") and not answer.get("candidates"):
                raise _failure(answer, None, exchange.headers, self._clock.now)
            reply = await offloaded(
                exchange.received_bytes, lambda: read(answer, call.model, exchange.data, exchange.strings)
            )
            return replace(reply, in_context=in_context)

    async def _begun(self, call: Call, hold: Hold, until: float, *, sdk_alone: bool) -> Exchange:
        """The exchange with what the call sends. It alone keeps the images, and lets go of them when they have left."""
        pictures = await hold.pictures()
        turns = await hold.turns() if call.in_context else ()
        if turns:
            pictures = pictures[1:]  # the first is in the last turn's answer
        return self._exchange(hold, pictures, until, turns=turns, sdk_alone=sdk_alone)

    async def exists(self, model: str) -> None:
        """Whether the model answers to its name, which costs nothing. Raises CallFailed, TimeoutError."""
        client = await self._connected()
        await self._called(client.aio.models.get(model=model))

    async def smallest_call(self, model: str) -> None:
        """Make the smallest call there is: a word, at most one token of text, no image. Raises CallFailed, TimeoutError."""
        client = await self._connected()
        from google.genai import types  # noqa: PLC0415 - there once the client is

        config = types.GenerateContentConfig(
            response_modalities=["TEXT"],
            max_output_tokens=1,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            automatic_continuation=False,
        )
        await self._called(client.aio.models.generate_content(model=model, contents="Hello", config=config))

    async def _called(self, call: Awaitable[Any], until: float | None = None, exchange: Exchange | None = None) -> Any:
        """What the SDK makes of the answer, at most `until` that time of the event loop.

        None where it makes nothing of an answer that has arrived: `exchange` has it. Raises CallFailed, TimeoutError, MarkLost.
        """
        from google.genai import errors  # noqa: PLC0415 - there once the client is

        try:
            async with asyncio.timeout_at(until):
                return await call
        except errors.APIError as error:
            headers = exchange.headers if exchange is not None else {}
            raise _failure(error.details, error.code, headers, self._clock.now) from None
        except (TimeoutError, MarkLost):
            raise
        except (aiohttp.ClientError, ConnectionError) as error:
            raise CallFailed(None, lost=True) from error
        except Exception as error:
            # The SDK raises many things for a body that it cannot make a reply of: pydantic's errors, JSON's, RecursionError.
            if exchange is not None and exchange.answer is not None:
                return None
            if exchange is not None and exchange.status is not None:
                raise _failure(None, exchange.status, exchange.headers, self._clock.now) from error
            raise CallFailed(None) from error

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()
            client.close()
        http, self._http = self._http, None
        if http is not None:
            await http.close()


def _contents(exchange: Exchange, prompt: str, *, sdk_alone: bool) -> "list[types.Content]":
    """The conversation as the SDK takes it. Raises TurnsRefused where it does not take an earlier turn."""
    from google.genai import types  # noqa: PLC0415 - there once the client is

    def user(images: Iterable[tuple[bytes, str]], prompt: str) -> types.Content:
        # The service wants the images first and the prompt last.
        parts = [types.Part.from_bytes(data=data, mime_type=mime_type) for data, mime_type in images]
        return types.Content(role="user", parts=[*parts, types.Part.from_text(text=prompt)])

    def model(answer: bytes) -> types.Content:
        if not sdk_alone:
            return types.Content(role="model", parts=[types.Part.from_text(text=base64.b64encode(answer).decode())])
        try:
            return types.Content.model_validate_json(answer)
        except ValueError as error:  # a field that it does not know
            raise TurnsRefused from error

    contents = []
    for turn in exchange.turns():
        contents += [user(turn.images, turn.prompt), model(turn.answer)]
    return [*contents, user(exchange.marks(), prompt)]


def _answer_of(response: Any, body: str | None) -> dict[str, Any]:
    """The answer's JSON: as it came, else (where it did not pass our session) as the SDK read it. Raises CallFailed."""
    if body is None:
        if response is None:
            raise CallFailed(None)
        dumped: dict[str, Any] = response.model_dump(mode="python", by_alias=True, exclude_none=True)
        return dumped
    try:
        answer = json.loads(body, strict=False)
    except (ValueError, RecursionError) as error:
        raise CallFailed(None) from error
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, dict):
        raise CallFailed(None)
    return answer


def _make_client(settings: Settings, http: aiohttp.ClientSession) -> "genai.Client":
    import certifi  # noqa: PLC0415 - comes with the SDK
    from google import genai  # noqa: PLC0415 - up to a second of import, paid by the first call only
    from google.genai import types  # noqa: PLC0415 - the same

    if settings.gemini_api_key is None:
        raise GeminiKeyMissing
    # A value that the SDK does not know yet is data to us, and no reason to write to the log at every reply.
    warnings.filterwarnings("ignore", message=".* is not a valid ", category=UserWarning, module=r"google\.genai")
    # As the SDK makes it, which makes three for clients that are never used: they cost the first call as much as a generation.
    trusted = ssl.create_default_context(
        cafile=os.environ.get("SSL_CERT_FILE", certifi.where()), capath=os.environ.get("SSL_CERT_DIR")
    )
    return genai.Client(
        api_key=settings.gemini_api_key.get_secret_value(),
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=settings.gemini_base_url,
            api_version=API_VERSION,
            # Without this, a connection that breaks costs a hidden sleep of up to 10 s and one more call that is paid for.
            retry_options=types.HttpRetryOptions(attempts=1),
            aiohttp_client=http,
            client_args={"verify": trusted},
            async_client_args={"verify": trusted, "ssl": trusted, **REQUEST_ARGUMENTS},
        ),
    )


def _failure(body: Any, status: int | None, headers: Mapping[str, str], now: Callable[[], datetime]) -> CallFailed:
    """What an error says: `body` a google.rpc.Status or what has one as `error`, `status` that of HTTP, None where it was 200."""
    error = _error_object(body)
    name = error.get("status")
    name = name if isinstance(name, str) and RPC_CODE.fullmatch(name) else ""
    if status is None:
        code = error.get("code")
        known = isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < 600  # noqa: PLR2004 - statuses end there
        status = code if known else STATUS_OF_NAME.get(name, HTTPStatus.INTERNAL_SERVER_ERROR)
    message = error.get("message")
    message = message[:LONGEST_ERROR_CHARACTERS] if isinstance(message, str) else ""
    details = [each for each in _list_of(error.get("details")) if isinstance(each, dict)]
    waits = [_seconds(each.get("retryDelay")) for each in details if each.get("@type") == RETRY_INFO]
    waits.append(_retry_after(headers, now))
    return CallFailed(
        # The SDK takes every status but 200 for an error. Below 400 it is none, and no reply either.
        status if status is not None and status >= HTTPStatus.BAD_REQUEST else None,
        name=name,
        key_refused=any(each.get("@type") == ERROR_INFO and each.get("reason") in KEY_REASONS for each in details),
        retry_seconds=max((seconds for seconds in waits if seconds is not None), default=None),
        day_quota_used=status == HTTPStatus.TOO_MANY_REQUESTS
        and (NO_QUOTA.search(message) is not None or any(map(_is_of_day, details))),
        image_unreadable=status == HTTPStatus.BAD_REQUEST and UNREADABLE_IMAGE in message.lower(),
        names_model="models/" in message,
    )


def _error_object(body: Any) -> dict[str, Any]:
    """The google.rpc.Status, wherever the SDK or a gateway left it."""
    if isinstance(body, list) and len(body) == 1:
        (body,) = body
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body)
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_of_day(detail: dict[str, Any]) -> bool:
    """Whether a QuotaFailure has a quota of the day among its violations, or one of which there is nothing."""
    if detail.get("@type") != QUOTA_FAILURE:
        return False
    violations = [each for each in _list_of(detail.get("violations")) if isinstance(each, dict)]
    return any(
        "perday" in str(each.get("quotaId", "")).lower() or _is_zero(each.get("quotaValue")) for each in violations
    )


def _is_zero(value: Any) -> bool:
    """An int64 in JSON, which may be a string."""
    return value == "0" or (isinstance(value, int) and not isinstance(value, bool) and value == 0)


def _seconds(delay: Any) -> float | None:
    """A protobuf Duration in JSON: `17s`, `0.5s`."""
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    try:
        seconds = float(delay[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds < LONGEST_WAIT_SECONDS else None  # neither is NaN


def _retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """The header `Retry-After` in seconds: a number, or a date (RFC 9110)."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return _seconds(f"{value}s")
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - now()).total_seconds()
    return max(0.0, seconds) if seconds < LONGEST_WAIT_SECONDS else None
