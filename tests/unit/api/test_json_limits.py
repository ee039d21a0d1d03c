"""Parsing a body costs a bounded amount, whatever it holds. Effort is counted in steps and sizes, not by the clock."""

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.api.json_limits import MAX_QUOTES, MAX_VALUES, MAX_WIDE_BYTES, NotJson, TooComplex, measure
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS, GenerateRequest
from image_core.errors import InvalidRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=40,
)
MANY = 500_000


def with_unknown_field(text: bytes) -> bytes:
    return b'{"images":["aGk="],"prompt":"x","z":' + text + b"}"


EXPENSIVE: list[tuple[str, bytes]] = [
    ("numbers in images", b'{"images":[' + b"1," * MANY + b'1],"prompt":"x"}'),
    ("nulls in images", b'{"images":[' + b"null," * MANY + b'1],"prompt":"x"}'),
    ("arrays in images", b'{"images":[' + b"[]," * MANY + b'1],"prompt":"x"}'),
    ("empty strings in images", b'{"images":[' + b'"",' * MANY + b'""],"prompt":"x"}'),
    ("objects in an unknown field", with_unknown_field(b"[" + b"{}," * MANY + b"1]")),
    ("objects with spaces", with_unknown_field(b"[" + b" { } ,\n" * MANY + b"1]")),
    ("a number of megabytes", with_unknown_field(b"1" * MANY)),
    ("a fraction of megabytes", with_unknown_field(b"0." + b"1" * MANY)),
    ("one key many times", b"{" + b'"images":["a"],' * (MANY // 5) + b'"prompt":"x"}'),
    ("keys in an unknown field", with_unknown_field(b"{" + b'"a":1,' * MANY + b'"b":1}')),
    ("escaped quotation marks", with_unknown_field(b'"' + b'\\"' * MANY + b'"')),
    ("one wide character in a long text", with_unknown_field('"{}\N{GRINNING FACE}"'.format("a" * MANY).encode())),
    ("one escaped wide character in a long text", with_unknown_field(b'"' + b"a" * MANY + b'\\ud83d\\ude00"')),
]


@pytest.mark.parametrize("body", [row[1] for row in EXPENSIVE], ids=[row[0] for row in EXPENSIVE])
def test_expensive_body_is_refused_before_it_is_parsed(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as refused:
            GenerateRequest.parse(body, max_images=3)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "too complex" in str(refused.value.details)
    assert most < 2 * len(body) + 200_000


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b'"' * 200_001])
def test_deep_nesting_and_broken_strings_are_refused(text: bytes) -> None:
    with pytest.raises((TooComplex, NotJson)):
        measure(text)


@pytest.mark.parametrize(
    "of", [lambda n: b'{"images":["%s"]}' % (b"A" * n), lambda n: b'["%s"]' % (b"\\\\" * n), lambda n: b" " * n + b"1"]
)
def test_long_texts_and_spaces_take_as_many_steps_as_short_ones(of: Callable[[int], bytes]) -> None:
    assert measure(of(2_000_000)).steps == measure(of(20)).steps


@given(JSON)
def test_any_json_is_measured_in_at_most_as_many_steps_as_bytes(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        raw = text.encode(errors="surrogatepass")
        assert measure(raw).steps <= len(raw)


@given(JSON)
def test_values_and_keys_are_counted(value: object) -> None:
    def count(part: object) -> int:
        if isinstance(part, dict):
            return 1 + len(part) + sum(map(count, part.values()))
        return 1 + sum(map(count, part)) if isinstance(part, list) else 1

    assert measure(json.dumps(value).encode()).values == count(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_measured_or_refused(raw: bytes) -> None:
    try:
        assert measure(raw).steps <= len(raw) + 1
    except (NotJson, TooComplex):
        return


@given(st.text(max_size=50))
def test_string_ends_at_its_closing_quotation_mark(text: str) -> None:
    raw = json.dumps([text, 1]).encode()
    assert measure(raw).values == 3


def test_large_requests_of_clients_are_within_the_limits() -> None:
    prompt = '"' * MAX_PROMPT_CHARACTERS
    body = json.dumps({"images": ["A" * 5_000_000] * 14, "prompt": prompt, "nodes": list(range(MAX_VALUES - 100))})
    assert GenerateRequest.parse(body.encode(), max_images=14).prompt == prompt
    wide = json.dumps({"images": ["a"], "prompt": "\N{GRINNING FACE}" * MAX_PROMPT_CHARACTERS}).encode()
    assert len(wide) > MAX_WIDE_BYTES * 0.95
    assert len(GenerateRequest.parse(wide, max_images=1).prompt) == MAX_PROMPT_CHARACTERS
    slashes = b'{"images":["' + b"AAAA\\/" * 500_000 + b'"],"prompt":"x"}'
    assert len(GenerateRequest.parse(slashes, max_images=1).images[0]) == 2_500_000
    plus = b'{"images":["' + b"AAAA\\u002B" * 500_000 + b'"],"prompt":"x"}'
    assert len(GenerateRequest.parse(plus, max_images=1).images[0]) == 2_500_000
    assert MAX_QUOTES > 3 * MAX_PROMPT_CHARACTERS
