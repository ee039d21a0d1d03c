"""One call of a Gemini model: through the SDK's async client, with none of its own retries, its failures told apart."""

import asyncio
import os
import re
import ssl
import warnings
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from image_core.errors import GeminiKeyMissing
from image_core.model.exchange import REQUEST_ARGUMENTS, Exchange, new_session
from image_core.model.hold import Hold
from image_core.model.reply import Reply, read
from image_core.offload import offloaded
from image_core.settings import Settings

if TYPE_CHECKING:
    from google import genai

T = TypeVar("T")

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
KEY_REASONS = {"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"}

API_VERSION = "v1beta"
"""The one that has preview models and `imageConfig` (ai.google.dev/gemini-api/docs/api-versions). The SDK's own is `v1`."""
RPC_CODE = re.compile(r"[A-Z_]{2,40}")

NO_REPLY = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What the SDK raises for a body that is not a reply: no JSON, broken base64, another shape, thousands of levels."""


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
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.name = name
        self.lost = lost
        self.key_refused = key_refused
        self.retry_seconds = retry_seconds


class Gemini:
    """The client of the process: made at the first call, kept with its connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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

    async def generate(
        self,
        model: str,
        hold: Hold,
        prompt: str,
        *,
        aspect_ratio: str | None,
        image_size: str | None,
        seconds: float,
    ) -> Reply:
        """Ask once, for at most `seconds` (at least 10: the service refuses less).

        Raises CallFailed, TimeoutError, and what reading the inputs again raises.
        """
        until = asyncio.get_running_loop().time() + seconds
        client = await self._connected()
        from google.genai import types  # noqa: PLC0415 - there once the client is

        config = types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=aspect_ratio, image_size=image_size)
            if aspect_ratio or image_size
            else None,
            # There are no functions to call: looking for some costs a deep copy and a line in the log for each call.
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            http_options=types.HttpOptions(timeout=int(seconds * 1000)),
        )
        async with asyncio.timeout_at(until):
            exchange = Exchange(hold, await hold.pictures(), until)
        with exchange:
            # The service wants the images first and the prompt last.
            parts = [types.Part.from_bytes(data=mark, mime_type=mime_type) for mark, mime_type in exchange.marks()]
            contents = [types.Content(role="user", parts=[*parts, types.Part.from_text(text=prompt)])]
            response = await _called(
                client.aio.models.generate_content(model=model, contents=contents, config=config), until
            )
            try:
                return await offloaded(exchange.received_bytes, lambda: read(response, model, exchange.data))
            except ValueError as error:  # base64 that is none
                raise CallFailed(None) from error

    async def exists(self, model: str) -> None:
        """Whether the model answers to its name, which costs nothing. Raises CallFailed, TimeoutError."""
        client = await self._connected()
        await _called(client.aio.models.get(model=model))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()
            client.close()
        http, self._http = self._http, None
        if http is not None:
            await http.close()


async def _called(call: Awaitable[T], until: float | None = None) -> T:
    """What the SDK gives, at most `until` that time of the event loop. Raises CallFailed, TimeoutError."""
    from google.genai import errors  # noqa: PLC0415 - there once the client is

    try:
        async with asyncio.timeout_at(until):
            return await call
    except errors.APIError as error:
        raise _api_failure(error) from None
    except TimeoutError:
        raise
    except (aiohttp.ClientError, ConnectionError) as error:
        raise CallFailed(None, lost=True) from error
    except (*NO_REPLY, OSError) as error:
        raise CallFailed(None) from error


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


def _api_failure(error: Any) -> CallFailed:
    details = list(_details(error.details))
    name = error.status
    return CallFailed(
        # The SDK takes every status but 200 for an error. Below 400 it is none, and no reply either.
        error.code if isinstance(error.code, int) and error.code >= HTTPStatus.BAD_REQUEST else None,
        name=name if isinstance(name, str) and RPC_CODE.fullmatch(name) else "",
        key_refused=any(
            detail.get("@type") == ERROR_INFO and detail.get("reason") in KEY_REASONS for detail in details
        ),
        retry_seconds=next(
            (
                seconds
                for detail in details
                if detail.get("@type") == RETRY_INFO and (seconds := _seconds(detail.get("retryDelay"))) is not None
            ),
            None,
        ),
    )


def _details(body: Any) -> Iterable[dict[str, Any]]:
    """The `details` of a google.rpc.Status, wherever the SDK left them."""
    status = body.get("error", body) if isinstance(body, dict) else {}
    found = status.get("details") if isinstance(status, dict) else None
    return (detail for detail in found if isinstance(detail, dict)) if isinstance(found, list) else ()


def _seconds(delay: Any) -> float | None:
    """A protobuf Duration in JSON: `17s`, `0.5s`."""
    if not isinstance(delay, str) or not delay.endswith("s"):
        return None
    try:
        seconds = float(delay[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1_000_000 else None  # noqa: PLR2004 - neither is NaN
