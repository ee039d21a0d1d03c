"""No URL reaches a forbidden address, in whatever way it is written: the server must see no connection."""

import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from image_core.auth.user import User
from image_core.errors import ImageFetchFailed, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.inputs.fetcher import Fetcher, FetchPolicy
from image_core.inputs.ip_policy import AllowedHosts, refused
from image_core.runtime.memory_budget import MemoryBudget
from image_core.settings import Settings
from tests.support.loopback_server import RecordingServer

ADA = User("ada@example.com")

REFUSED = [
    # RFC 1918, loopback, link-local, CGNAT, unspecified, multicast, reserved, documentation, benchmarks
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "169.254.0.1", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.8", "168.63.129.16", "192.88.99.1",
    # IPv6: loopback, unspecified, link-local, unique local, site-local, multicast, documentation, discard
    "::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "4000::1",
    # IPv4 inside IPv6: mapped, compatible, 6to4, Teredo (server and client), NAT64
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:168.63.129.16", "::127.0.0.1",
    "::10.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    # zones, and texts that are not addresses
    "fe80::1%eth0", "2606:4700::1111%1", "localhost", "", "1.2.3",
]  # fmt: skip
ALLOWED = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "20.60.1.2", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8",
    "2002:808:808::", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_address_is_refused(address: str) -> None:
    assert refused(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_public_address_is_allowed(address: str) -> None:
    assert not refused(address)


PORT = "PORT"  # replaced by the recording server's
URLS = [
    # dotted, decimal, octal, hexadecimal, short and mixed forms of 127.0.0.1
    "http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://2130706433:PORT/",
    "http://0x7f000001:PORT/", "http://0x7f.1:PORT/", "http://0x7f.0x0.0x0.0x1:PORT/", "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/", "http://0177.1:PORT/", "http://0x7F.1:PORT/", "http://127.0x0.01:PORT/",
    "http://0:PORT/", "http://0.0.0.0:PORT/", "http://127.127.127.127:PORT/", "http://000127.0.0.1:PORT/",
    # trailing dots, letter case, spaces
    "http://127.0.0.1.:PORT/", "http://localhost:PORT/", "http://LOCALHOST:PORT/", "http://localhost.:PORT/",
    " http://127.0.0.1:PORT/ ", "HTTP://127.0.0.1:PORT/", "hTTp://LocalHost:PORT/",
    # unicode digits and dots
    "http://１２７.０.０.１:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://127。0。0。1:PORT/", "http://lｏcalhost:PORT/",
    "http://127．0．0．1:PORT/", "http://¹²⁷.⁰.⁰.¹:PORT/",
    # IPv6, and IPv4 inside it in all four ways
    "http://[::1]:PORT/", "http://[0:0:0:0:0:0:0:1]:PORT/", "http://[::]:PORT/", "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/", "http://[::127.0.0.1]:PORT/", "http://[2002:7f00:1::]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/", "http://[2001:0:7f00:1::]:PORT/", "http://[fe80::1%25eth0]:PORT/",
    "http://[fe80::1%eth0]:PORT/", "http://[::1%25lo]:PORT/", "http://[fd00::1]:PORT/", "http://[ff02::1]:PORT/",
    # user info, which is not a host
    "http://user@127.0.0.1:PORT/", "http://user:pass@localhost:PORT/", "http://example.com@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@example.com/", "http://example.com:80@127.0.0.1:PORT/", "http://@127.0.0.1:PORT/",
    # URLs that parsers read differently
    "http://127.0.0.1:PORT\\@example.com/", "http://example.com\\@127.0.0.1:PORT/", "http:///127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/", "http:/127.0.0.1:PORT/", "http://127.0.0.1:PORT#@example.com/",
    "http://127.0.0.1:PORT?@example.com/", "http://127.0.0.1:PORT/\r\nHost: example.com", "http://127.0.0.1\t:PORT/",
    "http://127.0.0.1%00.example.com:PORT/", "http://127.0.0.1%20:PORT/", "http://%31%32%37.0.0.1:PORT/",
    "http://[::1]example.com:PORT/", "http://[127.0.0.1]:PORT/", "http://[::1:PORT/", "http://::1:PORT/",
    # other schemes
    "ftp://127.0.0.1:PORT/", "file:///etc/passwd", "gopher://127.0.0.1:PORT/_x", "dict://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/", "unix:/var/run/docker.sock", "javascript:alert(1)", "blob:http://127.0.0.1:PORT/x",
    "ldap://127.0.0.1:PORT/", "jar:http://127.0.0.1:PORT/!/", "about:blank", "view-source:http://127.0.0.1:PORT/",
    # other private addresses, on the allowed ports
    "http://10.0.0.1/", "http://192.168.0.1/", "http://172.20.0.1/", "http://169.254.169.254/metadata/instance",
    "http://0xa9fea9fe/", "http://2852039166/", "http://0251.0376.0251.0376/", "http://[::ffff:169.254.169.254]/",
    "http://168.63.129.16/", "http://0xa83f8110/", "http://[::ffff:168.63.129.16]/", "http://100.100.100.200/",
    "http://localhost/", "http://127.0.0.1/", "https://127.0.0.1/", "http://[::1]/", "http://0.0.0.0/", "http://0/",
    # ports that are not allowed
    "http://1.1.1.1:22/", "http://1.1.1.1:25/", "http://1.1.1.1:6379/", "http://1.1.1.1:8080/", "https://1.1.1.1:8443/",
    "http://1.1.1.1:0/", "http://1.1.1.1:99999/", "http://1.1.1.1:-1/", "http://1.1.1.1:80a/",
    # no host
    "http://", "http:///", "http://./", "http://../", "https://:443/", "http://?x", "http://#x",
]  # fmt: skip


# Each refused address as a URL, with the recording server's port.
URLS += [
    f"http://{f'[{address}]' if ':' in address else address}:PORT/"
    for address in REFUSED
    if address and "%" not in address
]


def with_port(recording_server: RecordingServer, url: str) -> str:
    return url.replace(PORT, str(recording_server.port))


@pytest.fixture
async def fetcher(recording_server: RecordingServer) -> Fetcher:
    settings = Settings.read({"FETCH_ALLOW_PORTS": f"80,443,{recording_server.port}", "FETCH_TIMEOUT_SECONDS": "5"})
    return Fetcher(FetchPolicy.of(settings))


@pytest.mark.parametrize("url", URLS)
async def test_url_does_not_reach_a_private_address(
    recording_server: RecordingServer, fetcher: Fetcher, url: str
) -> None:
    with pytest.raises(Fault) as caught:
        await fetcher.fetch(with_port(recording_server, url), MemoryBudget(10**9).claim(ADA.id))
    assert caught.value.kind in {UrlNotAllowed, ImageFetchFailed}
    assert recording_server.connections == 0
    await fetcher.close()


def test_table_of_urls_is_complete() -> None:
    assert len(set(URLS)) >= 120
    assert sum("PORT" in url for url in URLS) >= 60


class ScriptedResolver(AbstractResolver):
    """A resolver that answers each query with the next of its addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.queries = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.queries += 1
        address = self.addresses[min(self.queries, len(self.addresses)) - 1]
        version = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=version, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing: no connection is open."""


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "168.63.129.16", "::1", "fd00::1", "::ffff:127.0.0.1"]
)
async def test_name_that_resolves_to_a_private_address_is_refused(
    recording_server: RecordingServer, address: str
) -> None:
    settings = Settings.read({"FETCH_ALLOW_PORTS": str(recording_server.port)})
    fetcher = Fetcher(FetchPolicy.of(settings), ScriptedResolver(address))
    with pytest.raises(Fault) as caught:
        await fetcher.fetch(f"http://images.example.com:{recording_server.port}/", MemoryBudget(10**9).claim(ADA.id))
    assert caught.value.kind is UrlNotAllowed
    assert recording_server.connections == 0
    await fetcher.close()


async def test_every_connection_resolves_its_name_and_checks_the_address(recording_server: RecordingServer) -> None:
    """The checked address is the one that is connected to, so that a second answer of DNS changes nothing."""
    resolver = ScriptedResolver("203.0.113.7", "127.0.0.1")
    fetcher = Fetcher(FetchPolicy.of(Settings.read({"FETCH_ALLOW_PORTS": str(recording_server.port)})), resolver)
    for _ in range(2):
        with pytest.raises(Fault) as caught:
            await fetcher.fetch(
                f"http://rebinding.example.com:{recording_server.port}/", MemoryBudget(10**9).claim(ADA.id)
            )
        assert caught.value.kind is UrlNotAllowed
    assert resolver.queries == 2
    assert recording_server.connections == 0
    await fetcher.close()


@pytest.mark.parametrize(
    ("setting", "host", "by_name", "by_address"),
    [
        (("localhost",), "localhost", True, False),
        (("localhost",), "LOCALHOST.", True, False),
        (("localhost",), "127.0.0.1", False, False),
        (("127.0.0.1",), "127.0.0.1", False, True),
        (("127.0.0.1",), "::ffff:127.0.0.1", False, True),
        (("10.0.0.0/8",), "10.200.3.4", False, True),
        (("10.0.0.0/8",), "11.0.0.1", False, False),
        (("fd00::/8",), "fd12::1", False, True),
        (("[::1]",), "::1", False, True),
        (("example.com",), "evil-example.com", False, False),
        (("example.com",), "images.example.com", False, False),
        ((), "localhost", False, False),
    ],
)
def test_allowed_hosts_are_matched_by_name_or_by_address(
    setting: tuple[str, ...], host: str, by_name: bool, by_address: bool
) -> None:
    allowed = AllowedHosts(setting)
    assert (allowed.by_name(host), allowed.by_address(host)) == (by_name, by_address)


async def test_allowed_name_does_not_allow_its_address(
    recording_server: RecordingServer, make: Callable[..., object]
) -> None:
    fetcher = Fetcher(FetchPolicy.of(Settings.read({"FETCH_ALLOW_HOSTS": "localhost"})))
    with pytest.raises(Fault):
        await fetcher.fetch(f"http://127.0.0.1:{recording_server.port}/", MemoryBudget(10**9).claim(ADA.id))
    assert recording_server.connections == 0
    await fetcher.close()
