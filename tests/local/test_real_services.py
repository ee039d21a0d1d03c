"""A service that is configured stands in for its emulator; the tests themselves never meet a real one."""

import json
import os
from pathlib import Path

import pytest

from local import config

REAL = {
    "GEMINI_API_KEY": "a-real-key",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=real;AccountKey=x;BlobEndpoint=https://real.blob.core.windows.net",
    "AZURE_COSMOS_CONNECTION_STRING": "AccountEndpoint=https://real.documents.azure.com:443/;AccountKey=x",
}


def test_what_is_not_configured_is_emulated() -> None:
    found = config.read(given={"PORT": "7081"})
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (True, True, True)
    assert found.ports["PORT"] == 7081
    assert set(found.used_ports) == set(config.PORTS) - {"PAGE_PORT"}


def test_a_configured_service_is_used_and_its_emulator_not_started() -> None:
    found = config.read(given=REAL)
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (False, False, False)
    assert set(found.used_ports) == {"PORT", "FRONT_PORT"}
    assert found.environment["GEMINI_API_KEY"] == "a-real-key"


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"NEXTAUTH_SECRET": "from the file", "PORT": "7001", "GEMINI_API_KEY": ""}}))
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    found = config.read(given={"PORT": "7002"})
    assert found.environment["NEXTAUTH_SECRET"] == "from the file"
    assert found.ports["PORT"] == 7002
    assert found.emulate_gemini


def test_the_example_settings_lead_to_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SETTINGS", str(config.ROOT / "local.settings.json.example"))
    found = config.read(given={"GEMINI_LATENCY": "0"})
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (True, True, True)


def test_no_test_meets_a_developers_keys() -> None:
    assert os.environ["LOCAL_SETTINGS"] == os.devnull
    assert not set(REAL) & set(os.environ)


def test_the_static_web_apps_emulator_is_there_when_it_is_asked_for() -> None:
    found = config.read(given={"FRONT": "swa"})
    assert found.emulate_site
    assert set(found.used_ports) == set(config.PORTS)
    assert found.environment["NEXTAUTH_URL"] == "http://localhost:4280"
    with pytest.raises(config.WrongSetting, match="FRONT is 'nginx'"):
        config.read(given={"FRONT": "nginx"})


def test_a_broken_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text("{")
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    with pytest.raises(config.WrongSetting):
        config.read(given={"x": "y"})
