"""The Bicep compiler and predictions. `az bicep install` installs the compiler; CI must have it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.infra.predicted import Predict, Prediction, predict


@pytest.fixture(scope="session")
def bicep() -> str:
    """Return the path of the compiler. Without it the tests are skipped, but fail in CI."""
    found = shutil.which("bicep")
    if found is None and os.environ.get("CI"):
        pytest.fail("bicep is not on PATH; CI must not skip these tests")
    if found is None:
        pytest.skip("bicep is not on PATH: `az bicep install` installs it")
    return found


@pytest.fixture(scope="session")
def predictions(bicep: str, tmp_path_factory: pytest.TempPathFactory) -> Predict:
    """Return `predict` with a cache."""
    known: dict[str, Prediction] = {}

    def predicted(base: str = "dev", **parameters: object) -> Prediction:
        key = repr((base, sorted(parameters.items())))
        if key not in known:
            known[key] = predict(base, parameters, folder=tmp_path_factory.mktemp("infra"))
        return known[key]

    return predicted


@pytest.fixture
def changed(bicep: str, tmp_path: Path) -> Predict:
    """Predict what the templates create with one line changed: `changed(file, old, new, **parameters)`."""

    def predicted(file: str, old: str, new: str, **parameters: object) -> Prediction:
        return predict("dev", parameters, [(file, old, new)], folder=tmp_path)

    return predicted
