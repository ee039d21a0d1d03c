"""The document as a page for people: HTML that loads and runs nothing."""

import base64
import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: it allows this style sheet and an empty icon."""

Part = dict[str, Any]


def page(document: Part) -> str:
    """Return the HTML of an OpenAPI document that `document.build` made."""
    info = document["info"]
    operations = [
        (method, path, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    tags = document["tags"]
    sections = [_tag(tag, [row for row in operations if tag["name"] in row[2]["tags"]], document) for tag in tags]
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # or browsers ask for /favicon.ico
            f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>",
            '<header><a class="skip" href="#main">To the content</a>',
            f'<h1>{escape(info["title"])}</h1><p class="quiet">Version {escape(info["version"])} · ',
            '<a href="/api/openapi.json">openapi.json</a> (OpenAPI 3.1)</p></header>',
            _contents(tags, operations),
            f'<main id="main">{_prose(info["description"])}{_cookies(document)}{"".join(sections)}',
            _errors(document),
            _schemas(document),
            "</main></body></html>\n",
        )
    )


def _contents(tags: list[Part], operations: list[tuple[str, str, Part]]) -> str:
    lists = []
    for tag in tags:
        items = "".join(
            f'<li><a href="#{operation["operationId"]}">{escape(operation["summary"])}</a></li>'
            for _, _, operation in operations
            if tag["name"] in operation["tags"]
        )
        lists.append(f"<li>{escape(tag['name'])}<ul>{items}</ul></li>")
    more = '<li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li>'
    return f'<nav aria-label="Contents"><ul>{"".join(lists)}{more}</ul></nav>'


def _cookies(document: Part) -> str:
    schemes = document["components"]["securitySchemes"]
    rows = [[_code(scheme["name"]), _line(scheme["description"])] for scheme in schemes.values()]
    return f'<h2 id="session">Session</h2>{_table(("Cookie", "What it is"), rows)}'


def _tag(tag: Part, operations: list[tuple[str, str, Part]], document: Part) -> str:
    described = "".join(_operation(*row, document) for row in operations)
    return f"<section><h2>{escape(tag['name'])}</h2><p>{_line(tag['description'])}</p>{described}</section>"


def _operation(method: str, path: str, operation: Part, document: Part) -> str:
    parts = [
        f'<h3 id="{operation["operationId"]}">{escape(operation["summary"])}</h3>',
        f'<p><span class="method {method}">{method.upper()}</span> <code class="path">{escape(path)}</code></p>',
        _prose(operation["description"]),
    ]
    if parameters := operation.get("parameters"):
        rows = [
            [_code(each["name"]), f"{each['in']}, {_kind(each['schema'])}", _line(each["description"])]
            for each in parameters
        ]
        parts.append(f"<h4>Parameters</h4>{_table(('Name', 'In', 'Meaning'), rows)}")
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h4>Body: {_code(media_type)}</h4>{_fields(content['schema'], document)}")
        parts += [_example(each["summary"], each["value"]) for each in content.get("examples", {}).values()]
    parts.append("<h4>Answers</h4>")
    rows = [[f"<strong>{status}</strong>", _answer(answer)] for status, answer in operation["responses"].items()]
    parts.append(_table(("Status", "Answer"), rows))
    parts += [
        _example(f"Example of {status}", content["example"])
        for status, answer in operation["responses"].items()
        for content in answer.get("content", {}).values()
        if "example" in content
    ]
    return "".join(parts)


def _answer(answer: Part) -> str:
    lines = []
    for media_type, content in answer.get("content", {}).items():
        if codes := content.get("examples", {}):
            lines.append(", ".join(f'<a href="#error-{code}">{_code(code)}</a>' for code in codes))
        else:
            named = f"{_kind(content['schema'])} as " if "$ref" in content["schema"] else ""
            lines.append(f"{_line(answer['description'])} {named}{_code(media_type)}")
    if not lines:
        lines.append(_line(answer["description"]))
    for name, header in answer.get("headers", {}).items():
        lines.append(f"{_code(name)}: {_line(header['description'])}")
    return "<br>".join(lines)


def _errors(document: Part) -> str:
    examples = document["components"]["examples"]
    statuses = _statuses(document)
    parts = ['<section><h2 id="errors">Errors</h2>', "<p>Each with an example of its body.</p>"]
    for code, example in examples.items():
        parts.append(f'<h3 id="error-{code}">{_code(code)} <span class="quiet">{statuses[code]}</span></h3>')
        parts.append(f"<p>{_line(example['summary'])}</p>{_json(example['value'])}")
    return "".join((*parts, "</section>"))


def _statuses(document: Part) -> Part:
    """Return the status of each code, as the operations have it."""
    found: Part = {}
    for item in document["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    found |= dict.fromkeys(content.get("examples", {}), status)
    return found


def _schemas(document: Part) -> str:
    parts = ['<section><h2 id="schemas">Schemas</h2>']
    for name, schema in document["components"]["schemas"].items():
        parts.append(f'<h3 id="schema-{name}">{name}</h3>{_prose(schema["description"])}{_fields(schema, document)}')
    return "".join((*parts, "</section>"))


def _fields(schema: Part, document: Part) -> str:
    """Return a table of an object's fields, or the alternatives where the schema is a union."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    if "properties" not in schema:
        return f"<p>{_kind(schema)}</p>"
    required = schema.get("required", [])
    rows = [
        [
            _code(name),
            _kind(field) + ("" if name in required else ', <span class="quiet">optional</span>'),
            _line(field.get("description", "")),
        ]
        for name, field in schema["properties"].items()
    ]
    return _table(("Field", "Type", "Meaning"), rows)


def _kind(schema: Part) -> str:
    """Return a type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#schema-{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(_kind, choices))
    if "const" in schema:
        return _code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(_code(str(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}{_limits(schema)}"
    if "additionalProperties" in schema:
        return f"object of {_kind(schema['additionalProperties'])}"
    return f"{schema.get('format', schema['type'])}{_limits(schema)}"


def _limits(schema: Part) -> str:
    for least, most, unit in (
        ("minItems", "maxItems", ""),
        ("minLength", "maxLength", " characters"),
        ("minimum", "maximum", ""),
    ):
        if most in schema:
            return f", {schema.get(least, 0):g} to {schema[most]:g}{unit}"
    return ""


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="stacked"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _example(title: str, value: Any) -> str:
    return f"<details><summary>{escape(title)}</summary>{_json(value)}</details>"


def _json(value: Any) -> str:
    return f'<pre tabindex="0"><code>{escape(json.dumps(value, ensure_ascii=False, indent=2))}</code></pre>'


def _prose(text: str) -> str:
    return "".join(f"<p>{_line(paragraph)}</p>" for paragraph in text.split("\n\n"))


def _line(text: str) -> str:
    """Return a line of CommonMark as HTML. The document uses code spans only."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
