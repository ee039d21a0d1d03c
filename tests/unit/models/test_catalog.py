"""The catalog: what each model can make, its price, and its retirement."""

import itertools
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from checks import retirements
from image_core.models import catalog
from image_core.models.catalog import (
    ASPECT_RATIOS,
    CLASSIC,
    IMAGE_SIZES,
    INPUT_IMAGE_TOKENS,
    MODELS,
    THINKING_TOKENS,
    chain,
    current,
    lack,
)
from image_core.models.generated import Options
from image_core.models.prices import cost_usd, expected_cost, max_output_tokens
from image_core.models.turns import ContextSize
from image_core.settings import DEFAULT_CHAIN
from tests.support.paths import ROOT

PRO, NANO, LITE = DEFAULT_CHAIN
TODAY = date(2026, 11, 25)
UNKNOWN = "an-unknown-model"

# The price lines of ai.google.dev/gemini-api/docs/pricing: dollars of one image by size.
PRICE_LINES = [
    (PRO, "1K", 1120, 0.134),
    (PRO, "2K", 1120, 0.134),
    (PRO, "4K", 2000, 0.24),
    (NANO, "1K", 1120, 0.0336),
    (NANO, "2K", 1680, 0.0504),
    (NANO, "4K", 3780, 0.1134),
    (LITE, "1K", 1120, 0.0336),
    ("gemini-3.1-flash-image", "1K", 1120, 0.067),
    ("gemini-3.1-flash-image", "4K", 2520, 0.151),
    ("gemini-2.5-flash-image", "1K", 1290, 0.039),
    ("gemini-3-pro-image-preview", "4K", 2000, 0.24),
]


@pytest.mark.parametrize(("model", "size", "tokens", "dollars"), PRICE_LINES)
def test_table_has_the_published_price_of_each_size(model: str, size: str, tokens: int, dollars: float) -> None:
    assert MODELS[model].tokens_of(size) == tokens
    assert cost_usd(model, 0, {"IMAGE": tokens}) == pytest.approx(dollars, abs=0.0008)


def test_price_of_an_unknown_model_is_unknown() -> None:
    assert cost_usd(UNKNOWN, 1000, {"IMAGE": 1120}) is None


MAKES = {
    PRO: (CLASSIC, ("1K", "2K", "4K"), 14),
    NANO: (ASPECT_RATIOS, ("1K", "2K", "4K"), 14),
    LITE: (CLASSIC, ("1K",), 14),
    "gemini-2.5-flash-image": (CLASSIC, ("1K",), 3),
    UNKNOWN: (ASPECT_RATIOS, IMAGE_SIZES, 1000),
}


@pytest.mark.parametrize("model", MAKES)
def test_option_is_either_supported_or_named_as_lacking(model: str) -> None:
    ratios, sizes, most = MAKES[model]
    for ratio, size, inputs in itertools.product([None, *ASPECT_RATIOS], [None, *IMAGE_SIZES], [1, 3, 4, 14, 15]):
        can = {
            "aspectRatio": ratio is None or ratio in ratios,
            "imageSize": size is None or size in sizes,
            "images": inputs <= most,
        }
        expected = next((name for name in can if not can[name]), None)
        found = lack(model, Options(aspect_ratio=ratio, image_size=size), inputs)
        assert (found and found.field) == expected, (ratio, size, inputs)
        assert found is None or model in found.sentence


@pytest.mark.parametrize(
    ("models", "options", "inputs", "field"),
    [
        ([PRO], Options(aspect_ratio="1:8"), 1, "aspectRatio"),
        ([LITE], Options(image_size="2K"), 1, "imageSize"),
        (["gemini-2.5-flash-image"], Options(), 4, "images"),
        ([PRO, LITE], Options(aspect_ratio="1:8", image_size="4K"), 1, "aspectRatio"),
        ([LITE, NANO], Options(aspect_ratio="1:8", image_size="4K"), 1, None),
        # Each field has a model, and no model has both.
        (["gemini-2.5-flash-image", PRO], Options(image_size="4K"), 15, "images"),
        ([LITE, UNKNOWN], Options(aspect_ratio="1:8", image_size="4K"), 99, None),
    ],
)
def test_field_that_rules_out_every_model_is_named(
    models: list[str], options: Options, inputs: int, field: str | None
) -> None:
    assert catalog.lacking_field(models, options, inputs) == field


NAMES = [
    ("gemini-3-pro-image-preview", date(2026, 6, 24), "gemini-3-pro-image-preview"),
    ("gemini-3-pro-image-preview", date(2026, 6, 25), PRO),
    ("gemini-3.1-flash-image", date(2026, 10, 28), "gemini-3.1-flash-image"),
    ("gemini-3.1-flash-image", date(2026, 10, 29), NANO),
    ("gemini-2.5-flash-image", date(2026, 10, 1), "gemini-2.5-flash-image"),
    ("gemini-2.5-flash-image", date(2026, 10, 2), LITE),
    (PRO, date(2100, 1, 1), PRO),
    (UNKNOWN, date(2100, 1, 1), UNKNOWN),
]


@pytest.mark.parametrize(("name", "day", "model"), NAMES)
def test_retired_name_means_its_successor_from_its_retirement_on(name: str, day: date, model: str) -> None:
    assert current(name, day) == model
    found = catalog.retirement(name, day)
    assert (found is not None) == (model != name)
    if found is not None:
        assert found.warning().startswith(f"model_retired: {name} was shut down on ")
        assert model in found.warning()


def test_names_with_the_same_successor_become_one_link_at_the_first_position() -> None:
    links = chain(["gemini-3-pro-image-preview", PRO, "gemini-2.5-flash-image", LITE, UNKNOWN], TODAY)
    assert [link.model for link in links] == [PRO, LITE, UNKNOWN]
    assert [link.retired is not None for link in links] == [True, True, False]


def test_default_chain_has_no_retired_model_and_no_duplicates() -> None:
    assert [link.model for link in chain(DEFAULT_CHAIN, TODAY)] == list(DEFAULT_CHAIN)
    assert catalog.retiring(DEFAULT_CHAIN, TODAY) == ()


@pytest.mark.parametrize(("days", "warned"), [(31, False), (30, True), (1, True), (0, True), (-100, True)])
def test_warning_begins_thirty_days_before_a_retirement(days: int, warned: bool) -> None:
    day = date(2026, 10, 29) - timedelta(days=days)
    found = catalog.retiring([PRO, "gemini-3.1-flash-image", UNKNOWN], day)
    assert [each.name for each in found] == (["gemini-3.1-flash-image"] if warned else [])
    assert all(each.successor == NANO for each in found)


def test_check_prints_a_warning_for_each_name_and_does_not_fail() -> None:
    done = subprocess.run(
        [sys.executable, "checks/retirements.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert retirements.warnings(DEFAULT_CHAIN, TODAY) == []
    (line,) = retirements.warnings([PRO, "gemini-3.1-flash-image"], date(2026, 9, 29))
    assert line.startswith("warning: ")
    assert line.endswith(f"gemini-3.1-flash-image of the default chain retires on 2026-10-29; successor: {NANO}")


def test_every_successor_is_not_retired() -> None:
    for name, known in MODELS.items():
        assert (known.retires_on is None) == (known.successor is None), name
        assert MODELS[current(name, date(2100, 1, 1))].retires_on is None


def test_every_line_of_the_table_names_its_source() -> None:
    source = Path(catalog.__file__).read_text(encoding="utf-8")
    table = source[source.index("MODELS: Mapping") : source.index("MOST_EXPENSIVE")]
    lines = re.findall(r'((?:^    # .*\n)+)    "([^"]+)":', table, re.MULTILINE)
    assert [name for _, name in lines] == list(MODELS)
    assert all(re.search("pricing|deprecations", comment) for comment, _ in lines)


# --- expected cost

REQUESTS = [
    (chosen, ratio, size, inputs)
    for chosen, ratio, size, inputs in itertools.product(
        (PRO, NANO, LITE, UNKNOWN), (None, "1:8"), IMAGE_SIZES, (1, 14)
    )
    if lack(chosen, Options(aspect_ratio=ratio, image_size=size), inputs) is None
]


def maximum_cost_of_a_call(model: str, size: str, inputs: int, prompt: int) -> float:
    """Add up the price lines: inputs, prompt, one image, and the rest of the bound on output as thoughts or text."""
    line = MODELS.get(model, MODELS[PRO])
    image = line.tokens_of(size)
    others = line.max_output_tokens(size) - image
    input_tokens = inputs * 1120 + prompt
    return (input_tokens * line.input_usd + image * line.image_usd + others * line.text_usd) / 1_000_000


@pytest.mark.parametrize(("model", "ratio", "size", "inputs"), REQUESTS)
def test_no_call_of_the_chain_exceeds_the_expected_cost(model: str, ratio: str | None, size: str, inputs: int) -> None:
    options = Options(aspect_ratio=ratio, image_size=size)
    expected = expected_cost([LITE, model], options, inputs, TODAY, prompt_characters=32_000)
    for each in (LITE, model):
        if lack(each, options, inputs) is None:
            assert maximum_cost_of_a_call(each, size, inputs, 32_000) <= expected + 1e-6


def test_expected_cost_covers_the_turns_that_are_replayed() -> None:
    context = ContextSize(PRO, turns=2, images=7, characters=500)
    plain, with_turns = (expected_cost([PRO, LITE], Options(), 1, TODAY, context=each) for each in (None, context))
    tokens = 7 * INPUT_IMAGE_TOKENS + 500 + 2 * THINKING_TOKENS
    assert with_turns - plain == pytest.approx(tokens * MODELS[PRO].input_usd / 1_000_000, abs=1e-6)
    # Other models are not sent the turns.
    assert expected_cost([LITE], Options(), 1, TODAY, context=context) == expected_cost([LITE], Options(), 1, TODAY)


def test_expected_cost_is_that_of_the_most_expensive_model_that_may_be_called() -> None:
    one_k, four_k = Options(), Options(image_size="4K")
    assert expected_cost([LITE], one_k, 1, TODAY) < expected_cost([LITE, PRO], one_k, 1, TODAY)
    assert expected_cost([LITE, PRO], one_k, 1, TODAY) == expected_cost([PRO], one_k, 1, TODAY)
    # A model that is skipped costs nothing: only one of these makes 1:8.
    wide = Options(aspect_ratio="1:8")
    assert expected_cost([PRO, NANO, LITE], wide, 1, TODAY) == expected_cost([NANO], wide, 1, TODAY)
    assert expected_cost([UNKNOWN], four_k, 1, TODAY) >= expected_cost([PRO], four_k, 1, TODAY)
    assert expected_cost(["gemini-3-pro-image-preview"], one_k, 1, TODAY) == expected_cost([PRO], one_k, 1, TODAY)
    assert expected_cost([LITE], Options(model="gemini-3-pro-image-preview"), 1, TODAY) == expected_cost(
        [PRO], one_k, 1, TODAY
    )


def test_expected_cost_grows_with_every_input() -> None:
    costs = [expected_cost([PRO], Options(), inputs, TODAY) for inputs in range(1, 15)]
    steps = {round(after - before, 6) for before, after in itertools.pairwise(costs)}
    assert steps == {round(1120 * 2.00 / 1_000_000, 6)}


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("budget", [0.1, 1.0, 7.77])
def test_budget_is_exceeded_by_at_most_one_generation_for_each_other_process(processes: int, budget: float) -> None:
    """Every process admits by the rule, knows only its own running generation, and each call costs the maximum."""
    for model, ratio, size, inputs in REQUESTS:
        options = Options(aspect_ratio=ratio, image_size=size)
        expected = expected_cost([model], options, inputs, TODAY, prompt_characters=1000)
        cost = maximum_cost_of_a_call(model, size, inputs, 1000)
        spent = 0.0
        while spent + expected <= budget:
            spent += processes * cost
        assert spent <= budget + (processes - 1) * cost + 1e-6, (model, ratio, size, inputs)


@pytest.mark.parametrize("model", [*MODELS, UNKNOWN])
@pytest.mark.parametrize("size", [None, *IMAGE_SIZES])
def test_bound_on_output_does_not_cut_a_normal_answer(model: str, size: str | None) -> None:
    """Answers in the field: an image, up to 500 tokens of thoughts and 150 of text; drafts may count 1120 twice."""
    known = MODELS.get(model)
    image = (known or MODELS[NANO]).tokens_of(size)
    thoughts = 0 if known is not None and not known.thinks else 500 + 2 * 1120
    assert max_output_tokens(model, size) >= image + thoughts + 150
    assert max_output_tokens(model, size) <= image + 4096


def test_shapes_are_those_that_every_model_makes() -> None:
    assert set(catalog.shapes([NANO])) == set(ASPECT_RATIOS)
    assert set(catalog.shapes([NANO, PRO, UNKNOWN])) == set(CLASSIC)
    for ratio, (width, height) in catalog.shapes([NANO]).items():
        across, _, down = ratio.partition(":")
        assert width / height == pytest.approx(int(across) / int(down), rel=0.02)
