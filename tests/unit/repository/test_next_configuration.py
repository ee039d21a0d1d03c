"""The Next.js configuration in docs/clients.md is the example's, has every route, and its limits exceed the API's."""

import re

from image_core.api.response_budget import DEFAULT_SECONDS
from image_core.api.router import ROUTES
from image_core.settings import Settings
from tests.support.documents import next_configuration
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "next"


def test_configuration_of_the_example_is_the_documented_one() -> None:
    assert (EXAMPLE / "image-api.config.mjs").read_text() == next_configuration()
    assert 'import nextConfig from "./image-api.config.mjs";' in (EXAMPLE / "next.config.mjs").read_text()


def test_every_route_of_the_api_is_rewritten_and_those_of_sessions_are_not() -> None:
    (listed,) = re.findall(r"const routes = (\[.*?\]);", next_configuration(), re.DOTALL)
    sources = [re.escape(source).replace(r"/:path\*", "(/.*)?") for source in re.findall(r'"(.*?)"', listed)]
    for route in ROUTES:
        assert any(re.fullmatch(source, route.path) for source in sources), route.path
    assert not any(re.fullmatch(source, "auth/session") for source in sources)


def test_limits_of_the_configuration_exceed_those_of_the_api() -> None:
    (milliseconds,) = re.findall(r"proxyTimeout: ([\d_]+),", next_configuration())
    assert int(milliseconds) >= (DEFAULT_SECONDS + 5) * 1000
    (megabytes,) = re.findall(r'proxyClientMaxBodySize: "(\d+)mb"', next_configuration())
    assert int(megabytes) * 2**20 > Settings.read({}).max_request_bytes
