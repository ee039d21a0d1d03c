"""Calls of Gemini models through the SDK's async client, without its retries; errors are classified by `CallFailed`."""

import asyncio
import base64
import json
import logging
import os
import re
import ssl
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from image_core.clock import Clock
from image_core.errors import GeminiKeyMissing
from image_core.models.gemini.response import read
from image_core.models.gemini.streaming import REQUEST_ARGUMENTS, Exchange, PlaceholderLost, new_session
from image_core.models.prices import max_output_tokens
from image_core.models.provider import Call, CallFailed, CallInputs, Reply, TurnsRefused
from image_core.runtime.offload import offloaded

if TYPE_CHECKING:
    from google import genai
    from google.genai import types

log = logging.getLogger("image_core.models")

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
KEY_REASONS = {"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"}

API_VERSION = "v1beta"
"""The version with preview models and `imageConfig` (ai.google.dev/gemini-api/docs/api-versions); the SDK's is `v1`."""
RPC_CODE = re.compile(r"[A-Z_]{2,40}")

NO_QUOTA = re.compile(r"\blimit:\s*0(?!\d|[.,]\d)", re.IGNORECASE)
"""Found in the message of a 429: there is no quota at all, whatever `RetryInfo` says."""

UNREADABLE_IMAGE = "unable to process input image"
"""Found in the message of a 400 of the service's decoder, which sometimes fails for images that it accepts later."""

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
"""HTTP statuses by google.rpc.Code, for error objects without a number. Other names are internal errors."""

LONGEST_WAIT_SECONDS = 1_000_000
LONGEST_ERROR_CHARACTERS = 1_000_000


class Gemini:
    """The Gemini API as a provider. The client is created at the first call. `key` is None where none is configured."""

    def __init__(
        self,
        key: str | None,
        base_url: str | None = None,
        clock: Clock | None = None,
        exchange: type[Exchange] = Exchange,
    ) -> None:
        self._key = key
        self._base_url = base_url
        self._exchange = exchange
        self._clock = clock or Clock()
        self._client: genai.Client | None = None
        self._http: aiohttp.ClientSession | None = None
        self._making = asyncio.Lock()

    def check_configured(self) -> None:
        """Raise GeminiKeyMissing where there is no key."""
        if self._key is None:
            raise GeminiKeyMissing

    async def _connected(self) -> "genai.Client":
        if self._client is None:
            async with self._making:
                if self._client is None:
                    self._http = self._http or new_session()
                    # In a thread: the import takes up to a second.
                    self._client = await asyncio.to_thread(_make_client, self._key, self._base_url, self._http)
        return self._client

    async def generate(self, call: Call, inputs: CallInputs, seconds: float) -> Reply:
        """Call a model once, for at most `seconds` (at least 10: the service refuses less).

        Raises CallFailed, TurnsRefused, TimeoutError, and the errors of reading the inputs again.
        """
        until = asyncio.get_running_loop().time() + seconds
        ask = partial(self._ask, await self._connected(), call, inputs, until, seconds)
        try:
            return await ask(sdk_alone=False)
        except PlaceholderLost:
            log.error("google-genai writes its requests in a new way: this call is made by the SDK alone")  # noqa: TRY400 - the traceback adds nothing
        return await ask(sdk_alone=True)

    async def _ask(
        self,
        client: "genai.Client",
        call: Call,
        inputs: CallInputs,
        until: float,
        seconds: float,
        *,
        sdk_alone: bool,
    ) -> Reply:
        from google.genai import types  # noqa: PLC0415 - imported with the client

        config = types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=call.aspect_ratio, image_size=call.image_size)
            if call.aspect_ratio or call.image_size
            else None,
            max_output_tokens=max_output_tokens(call.model, call.image_size),
            # Searching for functions to call would cost a deep copy and a log line for each call.
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            # The SDK would call again by itself to continue an answer, which is billed again.
            automatic_continuation=False,
            http_options=types.HttpOptions(timeout=int(seconds * 1000)),
        )
        async with asyncio.timeout_at(until):
            exchange = await self._exchange_of(call, inputs, until, sdk_alone=sdk_alone)
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
            if not exchange.sent and not sdk_alone:  # not through `new_session`: with placeholders instead of images
                raise PlaceholderLost
            answer = _answer_of(response, exchange.answer)
            if answer.get("error") and not answer.get("candidates"):
                raise _failure(answer, None, exchange.headers, self._clock.now)
            reply = await offloaded(
                exchange.received_bytes, lambda: read(answer, call.model, exchange.data, exchange.strings)
            )
            return replace(reply, in_context=in_context)

    async def _exchange_of(self, call: Call, inputs: CallInputs, until: float, *, sdk_alone: bool) -> Exchange:
        """Return the exchange of a call. It has the only reference to the images, and releases them once sent."""
        images = await inputs.images()
        turns = await inputs.turns() if call.in_context else ()
        if turns:
            images = images[1:]  # the first is in the last turn's answer
        return self._exchange(inputs, images, until, turns=turns, sdk_alone=sdk_alone)

    async def describe(self, model: str) -> None:
        """Check that the model exists, with a call that is free. Raises CallFailed, TimeoutError."""
        client = await self._connected()
        await self._called(client.aio.models.get(model=model))

    async def smallest_call(self, model: str) -> None:
        """Make the cheapest call: one token of text, no image. Raises CallFailed, TimeoutError."""
        client = await self._connected()
        from google.genai import types  # noqa: PLC0415 - imported with the client

        config = types.GenerateContentConfig(
            response_modalities=["TEXT"],
            max_output_tokens=1,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            automatic_continuation=False,
        )
        await self._called(client.aio.models.generate_content(model=model, contents="Hello", config=config))

    async def _called(self, call: Awaitable[Any], until: float | None = None, exchange: Exchange | None = None) -> Any:
        """Return the answer as the SDK parses it; `until` is a time of the event loop.

        None where it fails to parse an answer that `exchange` has. Raises CallFailed, TimeoutError, PlaceholderLost.
        """
        from google.genai import errors  # noqa: PLC0415 - imported with the client

        try:
            async with asyncio.timeout_at(until):
                return await call
        except errors.APIError as error:
            headers = exchange.headers if exchange is not None else {}
            raise _failure(error.details, error.code, headers, self._clock.now) from None
        except (TimeoutError, PlaceholderLost):
            raise
        except (aiohttp.ClientError, ConnectionError) as error:
            raise CallFailed(None, lost=True) from error
        except Exception as error:
            # The SDK raises various errors for a body that it cannot parse: pydantic's, JSON's, RecursionError.
            if exchange is not None and exchange.answer is not None:
                return None
            if exchange is not None and exchange.status is not None:
                raise _failure(None, exchange.status, exchange.headers, self._clock.now) from error
            raise CallFailed(None) from error

    async def close(self) -> None:
        """Close the client and its connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()
            client.close()
        http, self._http = self._http, None
        if http is not None:
            await http.close()


def _contents(exchange: Exchange, prompt: str, *, sdk_alone: bool) -> "list[types.Content]":
    """Return the conversation in the SDK's types. Raises TurnsRefused where they cannot represent an earlier turn."""
    from google.genai import types  # noqa: PLC0415 - imported with the client

    def user(images: Iterable[tuple[bytes, str]], prompt: str) -> types.Content:
        # The service expects the images first and the prompt last.
        parts = [types.Part.from_bytes(data=data, mime_type=mime_type) for data, mime_type in images]
        return types.Content(role="user", parts=[*parts, types.Part.from_text(text=prompt)])

    def model(answer: bytes) -> types.Content:
        if not sdk_alone:
            return types.Content(role="model", parts=[types.Part.from_text(text=base64.b64encode(answer).decode())])
        try:
            return types.Content.model_validate_json(answer)
        except ValueError as error:  # an unknown field
            raise TurnsRefused from error

    contents = []
    for turn in exchange.turns():
        contents += [user(turn.images, turn.prompt), model(turn.answer)]
    return [*contents, user(exchange.placeholders(), prompt)]


def _answer_of(response: Any, body: str | None) -> dict[str, Any]:
    """Return the answer's JSON: its body, or the SDK's object if the body is not known. Raises CallFailed."""
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


def _make_client(key: str | None, base_url: str | None, http: aiohttp.ClientSession) -> "genai.Client":
    import certifi  # noqa: PLC0415 - comes with the SDK
    from google import genai  # noqa: PLC0415 - the import takes up to a second: only for the first call
    from google.genai import types  # noqa: PLC0415 - the same

    if key is None:
        raise GeminiKeyMissing
    # Values that the SDK does not know yet are data: it must not warn of them at every reply.
    warnings.filterwarnings("ignore", message=".* is not a valid ", category=UserWarning, module=r"google\.genai")
    # As the SDK creates it; the SDK would create three for clients that are never used, which takes long.
    trusted = ssl.create_default_context(
        cafile=os.environ.get("SSL_CERT_FILE", certifi.where()), capath=os.environ.get("SSL_CERT_DIR")
    )
    return genai.Client(
        api_key=key,
        vertexai=False,
        http_options=types.HttpOptions(
            base_url=base_url,
            api_version=API_VERSION,
            # Otherwise a broken connection leads to a hidden sleep of up to 10 s and another call that is billed.
            retry_options=types.HttpRetryOptions(attempts=1),
            aiohttp_client=http,
            client_args={"verify": trusted},
            async_client_args={"verify": trusted, "ssl": trusted, **REQUEST_ARGUMENTS},
        ),
    )


def _failure(body: Any, status: int | None, headers: Mapping[str, str], now: Callable[[], datetime]) -> CallFailed:
    """Classify an error. `body`: a google.rpc.Status, or an object with one as `error`; `status`: None for 200."""
    error = _error_object(body)
    name = error.get("status")
    name = name if isinstance(name, str) and RPC_CODE.fullmatch(name) else ""
    if status is None:
        code = error.get("code")
        known = isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < 600  # noqa: PLR2004 - the largest status
        status = code if known else STATUS_OF_NAME.get(name, HTTPStatus.INTERNAL_SERVER_ERROR)
    message = error.get("message")
    message = message[:LONGEST_ERROR_CHARACTERS] if isinstance(message, str) else ""
    details = [each for each in _list_of(error.get("details")) if isinstance(each, dict)]
    waits = [_seconds(each.get("retryDelay")) for each in details if each.get("@type") == RETRY_INFO]
    waits.append(_retry_after(headers, now))
    return CallFailed(
        # The SDK raises for every status but 200. One below 400 is neither an error nor a reply.
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
    """Return the google.rpc.Status in the body of an error."""
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
    """Return whether a QuotaFailure names a daily quota, or a quota of zero."""
    if detail.get("@type") != QUOTA_FAILURE:
        return False
    violations = [each for each in _list_of(detail.get("violations")) if isinstance(each, dict)]
    return any(
        "perday" in str(each.get("quotaId", "")).lower() or _is_zero(each.get("quotaValue")) for each in violations
    )


def _is_zero(value: Any) -> bool:
    """Return whether an int64 in JSON, which may be a string, is zero."""
    return value == "0" or (isinstance(value, int) and not isinstance(value, bool) and value == 0)


def _seconds(delay: Any) -> float | None:
    """Parse a protobuf Duration in JSON: `17s`, `0.5s`."""
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    try:
        seconds = float(delay[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds < LONGEST_WAIT_SECONDS else None  # False for NaN


def _retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """Return the header `Retry-After` in seconds. It is a number or a date (RFC 9110)."""
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
