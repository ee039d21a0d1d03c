"""`/api/openapi.json` and `/api/docs`, a page that loads nothing else."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import pytest

from image_core.api.http import Request, Response
from image_core.app import Application
from image_core.errors import STATUS_BY_CODE
from tests.support.contract import document, violations


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    product = Application({"NEXTAUTH_SECRET": "x"})
    yield product
    await product.close()


async def get(app: Application, path: str, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await app.handle(Request("GET", path, headers=sent))
    assert violations("GET", path, answer.status, answer.headers, answer.body) == []
    return answer


async def test_document_needs_no_session(app: Application) -> None:
    answer = await get(app, "openapi.json")
    assert json.loads(answer.body) == document()
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["openapi.json", "docs"])
async def test_known_etag_is_answered_with_304(app: Application, path: str) -> None:
    first = await get(app, path)
    again = await get(app, path, if_none_match=f'"other", W/{first.headers["ETag"]}')
    assert (again.status, again.body) == (304, b"")
    assert dict(again.headers) == dict(first.headers), "without a Content-Type the host sends text/plain with a 304"
    assert (await get(app, path, if_none_match='"other"')).status == 200


async def test_with_invalid_settings_the_document_is_misconfigured() -> None:
    app = Application({"MAX_IMAGES": "none"})
    answer = await get(app, "openapi.json")
    assert (answer.status, json.loads(answer.body)["code"]) == (500, "misconfigured")


class Page(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_page_has_every_operation_error_and_schema_and_no_broken_link(app: Application) -> None:
    page = Page((await get(app, "docs")).body.decode())
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {operation["operationId"] for item in document()["paths"].values() for operation in item.values()}
    wanted |= {f"error-{code}" for code in STATUS_BY_CODE}
    wanted |= {f"schema-{name}" for name in document()["components"]["schemas"]}
    assert wanted <= set(ids)
    links = [str(attributes["href"]) for tag, attributes in page.elements if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert [link for link in links if not link.startswith("#")] == ["/api/openapi.json"]


async def test_page_loads_and_runs_nothing_and_its_policy_allows_its_style(app: Application) -> None:
    answer = await get(app, "docs")
    text = answer.body.decode()
    page = Page(text)
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "object", "form", "base"} == set()
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]
    assert [attributes["href"] for tag, attributes in page.elements if tag == "link"] == ["data:,"]
    found = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert found is not None
    assert "url(" not in found[1]
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "frame-ancestors 'none'" in policy
