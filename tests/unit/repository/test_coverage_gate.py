"""The coverage gate sums counts by package, and names each package below its threshold."""

from checks.coverage_gate import THRESHOLDS, below, by_package


def test_package_below_its_threshold_is_named_and_files_elsewhere_do_not_count() -> None:
    files = {f"{package}/module.py": (100, 100) for package in THRESHOLDS}
    assert list(below(by_package(files))) == []
    files["image_core/auth/module.py"] = (90, 100)
    files["local/module.py"] = (0, 1000)
    (line,) = below(by_package(files))
    assert line.startswith("image_core/auth: 90.0 % is below 98 %")


def test_package_that_does_not_exist_is_named() -> None:
    files = {f"{package}/module.py": (1, 1) for package in THRESHOLDS if package != "image_core/auth"}
    assert list(below(by_package(files))) == [
        "image_core/auth has no code: remove it from THRESHOLDS in checks/coverage_gate.py"
    ]
