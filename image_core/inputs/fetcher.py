"""Fetch images from addresses that callers send. The IP address of every connection is checked, also after redirects.

The check is made when a socket is created, so that it covers literal addresses in any notation, changing DNS answers
and redirects.
"""

import asyncio
import logging
import socket
import zlib
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from image_core import __version__
from image_core.errors import ImageFetchFailed, ImageTooLarge, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.images.probe import kind
from image_core.inputs.connector import MAX_HEAD_BYTES, MAX_HEADERS, BoundedConnector
from image_core.inputs.content_encoding import Decompressor
from image_core.inputs.ip_policy import AllowedHosts, refused
from image_core.inputs.resolver import BoundedResolver, lookup_user
from image_core.inputs.urls import parsed
from image_core.runtime.fair_share import FairShare
from image_core.runtime.memory_budget import Claim
from image_core.settings import Settings

log = logging.getLogger("image_core.inputs")

MAX_REDIRECTS = 10
MAX_CONNECTIONS = 32
"""Maximum number of connections of all users; each user has a fair share of them."""
CHUNK_BYTES = 65536
READ_BUFFER_BYTES = 32768
"""Read buffer of one connection. While a fetch waits for memory, the rest of the image stays in the network."""
REDIRECTS = {301, 302, 303, 307, 308}
OK = 200

# The addresses that the current fetch was refused: aiohttp reports a refusal like any other failed connection.
_refusals: ContextVar[list[str]] = ContextVar("refusals")


class AddressRefused(OSError):
    """The policy forbids connections to this address."""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched, and as whom: the settings `FETCH_…` and `MAX_IMAGE_BYTES`."""

    allow_hosts: tuple[str, ...]
    allow_ports: tuple[int, ...]
    timeout_seconds: float
    max_bytes: int
    user_agent: str

    @classmethod
    def of(cls, settings: Settings) -> "FetchPolicy":
        """Return the policy of the settings."""
        return cls(
            settings.fetch_allow_hosts,
            settings.fetch_allow_ports,
            settings.fetch_timeout_seconds,
            settings.max_image_bytes,
            _user_agent(settings),
        )


class Fetcher:
    """Fetches images by URL. Of two connection pools one checks addresses; the other is for hosts allowed by name."""

    def __init__(
        self,
        policy: FetchPolicy,
        resolver: AbstractResolver | None = None,
        timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout,
    ) -> None:
        self._allowed = AllowedHosts(policy.allow_hosts)
        self._ports = frozenset(policy.allow_ports)
        self._seconds = policy.timeout_seconds
        self._timeout = timeout
        self._max_bytes = policy.max_bytes
        self._resolver = resolver or BoundedResolver()
        self._connections = FairShare(MAX_CONNECTIONS)
        self._user_agent = policy.user_agent
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def fetch(self, url: str, claim: Claim) -> bytes:
        """Return the bytes at a URL; `claim` is charged with them. Raises Fault, Busy."""
        lookup_user.set(claim.user_id)
        async with self._connections.slot(claim.user_id, claim.wait_seconds()):
            return await self._fetch(url, claim)

    async def _fetch(self, url: str, claim: Claim) -> bytes:
        _refusals.set([])
        try:
            async with self._timeout(self._seconds) as limit:
                return await self._follow(url, claim, limit)
        except TimeoutError:
            raise Fault(ImageFetchFailed, f"it took longer than {self._seconds:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if _refusals.get():
                raise Fault(UrlNotAllowed, "it leads to an address that is never fetched from") from None
            log.info("a fetch failed: %s", type(error).__name__)
            raise Fault(ImageFetchFailed, "the server could not be reached, or broke off") from None

    async def _follow(self, url: str, claim: Claim, limit: asyncio.Timeout) -> bytes:
        at = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            trusted = self._allowed.by_name(at.host or "")
            async with self._session(trusted=trusted).get(at, allow_redirects=False) as answer:
                if answer.status not in REDIRECTS or "Location" not in answer.headers:
                    return await self._read(answer, claim, limit)
                at = self._checked(answer.headers["Location"], at)
        raise Fault(ImageFetchFailed, f"it redirects more than {MAX_REDIRECTS} times")

    def _checked(self, url: str, base: URL | None = None) -> URL:
        """Return the parsed URL after the checks that need no connection. Raises Fault."""
        try:
            at = parsed(url, base)
            host, port = at.host, at.port
        except ValueError:
            raise Fault(UrlNotAllowed, "it is not a valid address") from None
        if at.scheme not in {"http", "https"}:
            raise Fault(UrlNotAllowed, "only http and https addresses are fetched")
        if not host or host.strip(".") == "":
            raise Fault(UrlNotAllowed, "it names no host")
        if at.user is not None or at.password is not None:
            raise Fault(UrlNotAllowed, "an address with a user name is not fetched")
        known = self._allowed.by_name(host) or self._allowed.by_address(host)
        if not known and port not in self._ports:
            raise Fault(UrlNotAllowed, f"port {port} is not fetched from")
        if not known and _is_literal(host) and refused(host):
            raise Fault(UrlNotAllowed, "it leads to an address that is never fetched from")
        return at

    async def _read(self, answer: aiohttp.ClientResponse, claim: Claim, limit: asyncio.Timeout) -> bytes:
        if answer.status != OK:
            raise Fault(ImageFetchFailed, f"the server answered {answer.status}")
        if (answer.content_length or 0) > self._max_bytes:
            raise self._too_large()
        decompressor = _decompressor(answer)
        parts: list[bytes] = []
        received = size = 0
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            received += len(chunk)
            if received > self._max_bytes:  # compressed data without content
                raise self._too_large()
            for part in _decompressed(decompressor, chunk):
                size += len(part)
                if size > self._max_bytes:
                    raise self._too_large()
                # Memory is claimed for what has arrived, not for what was announced: a slow server must not reserve
                # any.
                if not claim.try_add(len(part)):
                    await _pausing_limit(claim.grow(len(part)), limit)
                parts.append(part)
        data = b"".join(parts)
        if decompressor.foreign and kind(data) is None:
            raise Fault(ImageFetchFailed, "the server sent it in an encoding that was not asked for")
        return data

    def _too_large(self) -> Fault:
        return Fault(ImageTooLarge, f"it has more than {self._max_bytes:,} bytes, which is the limit")

    def _session(self, *, trusted: bool) -> aiohttp.ClientSession:
        if trusted not in self._sessions:
            connector = BoundedConnector(
                limit=0,  # FairShare limits the connections
                force_close=True,  # idle connections to many hosts would add up
                resolver=self._resolver,
                use_dns_cache=False,  # each connection resolves and checks its own address
                socket_factory=None if trusted else self._guarded_socket,
            )
            self._sessions[trusted] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
                max_line_size=MAX_HEAD_BYTES,  # some sites' content security policies alone take 9 KB
                max_field_size=MAX_HEAD_BYTES,
                max_headers=MAX_HEADERS,
                headers={
                    "User-Agent": self._user_agent,
                    "Accept": "image/*",
                    "Accept-Encoding": "identity",
                },
                # The fetch as a whole has a time limit, which is paused while it waits for memory; aiohttp's would not
                # be.
                timeout=aiohttp.ClientTimeout(total=None, connect=self._seconds),
            )
        return self._sessions[trusted]

    def _guarded_socket(self, address: tuple[object, ...]) -> socket.socket:
        family, kind, protocol, _, target = address
        host = target[0]  # type: ignore[index] # (host, port, …) from getaddrinfo
        if refused(host) and not self._allowed.by_address(host):
            _refusals.get().append(host)
            raise AddressRefused("this address is never fetched from")
        return socket.socket(family, kind, protocol)  # type: ignore[arg-type] # as returned by getaddrinfo

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await self._resolver.close()


async def _pausing_limit(waiting: Awaitable[None], limit: asyncio.Timeout) -> None:
    """Await memory of this process. The time limit of the fetch is paused: the server does not cause this wait."""
    loop, until = asyncio.get_running_loop(), limit.when()
    began = loop.time()
    limit.reschedule(None)
    await waiting
    limit.reschedule(None if until is None else until + loop.time() - began)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _decompressor(answer: aiohttp.ClientResponse) -> Decompressor:
    try:
        return Decompressor(",".join(answer.headers.getall("Content-Encoding", ())))
    except ValueError:
        raise Fault(ImageFetchFailed, "the server compressed it too many times") from None


def _decompressed(decompressor: Decompressor, chunk: bytes) -> Iterable[bytes]:
    try:
        yield from decompressor.feed(chunk)
    except zlib.error:
        raise Fault(ImageFetchFailed, "the server sent broken compressed data") from None


def _user_agent(settings: Settings) -> str:
    """Return the `User-Agent` (RFC 9110, 10.1.5) with a contact: Wikimedia and others refuse clients without."""
    contact = settings.fetch_contact or (settings.nextauth_url and str(URL(settings.nextauth_url)))
    return f"catafract-image-api/{__version__}" + (f" (+{contact})" if contact else "")
