"""A configured service is used instead of its emulator, but never in tests."""

import json
import os
from pathlib import Path

import pytest

from local import config
from local.emulators import COSMOS_KEY, AzuritePorts

REAL = {
    "GEMINI_API_KEY": "a-real-key",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=real;AccountKey=x;BlobEndpoint=https://real.blob.core.windows.net",
    "AZURE_COSMOS_CONNECTION_STRING": "AccountEndpoint=https://real.documents.azure.com:443/;AccountKey=x",
}


def test_service_that_is_not_configured_is_emulated() -> None:
    found = config.read(given={"PORT": "7081"})
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (True, True, True)
    assert found.ports["PORT"] == 7081
    assert set(found.used_ports) == set(config.PORTS) - {"PAGE_PORT"}


def test_configured_service_is_used_and_its_emulator_not_started() -> None:
    found = config.read(given=REAL)
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (False, False, False)
    assert set(found.used_ports) == {"PORT", "FRONT_PORT"}
    assert found.environment["GEMINI_API_KEY"] == "a-real-key"


def test_environment_overrides_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"NEXTAUTH_SECRET": "from the file", "PORT": "7001", "GEMINI_API_KEY": ""}}))
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    found = config.read(given={"PORT": "7002"})
    assert found.environment["NEXTAUTH_SECRET"] == "from the file"
    assert found.ports["PORT"] == 7002
    assert found.emulate_gemini


def test_example_settings_lead_to_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_SETTINGS", str(config.ROOT / "local.settings.json.example"))
    found = config.read(given={"GEMINI_LATENCY": "0"})
    assert (found.emulate_gemini, found.emulate_storage, found.emulate_cosmos) == (True, True, True)


def test_tests_have_no_keys_of_a_developer() -> None:
    assert os.environ["LOCAL_SETTINGS"] == os.devnull
    assert not set(REAL) & set(os.environ)


def test_static_web_apps_emulator_runs_if_it_is_configured() -> None:
    found = config.read(given={"FRONT": "swa"})
    assert found.emulate_static_web_apps
    assert set(found.used_ports) == set(config.PORTS)
    assert found.environment["NEXTAUTH_URL"] == "http://localhost:4280"
    with pytest.raises(config.WrongSetting, match="FRONT is 'nginx'"):
        config.read(given={"FRONT": "nginx"})


def test_settings_file_that_is_not_json_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text("{")
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    with pytest.raises(config.WrongSetting):
        config.read(given={"x": "y"})


LOCAL = AzuritePorts(10010, 10011, 10012).connection_string()


@pytest.mark.parametrize(
    "storage",
    [
        LOCAL,
        AzuritePorts(10000, 10001, 10002).connection_string().replace("127.0.0.1", "localhost"),
        "DefaultEndpointsProtocol=http;AccountName=other;AccountKey=eA==;BlobEndpoint=http://127.0.0.1:10000/other",
    ],
)
def test_configured_storage_on_this_machine_is_not_replaced(storage: str) -> None:
    found = config.read(given={config.STORAGE: storage})
    assert not found.emulate_storage
    assert found.environment[config.STORAGE] == storage
    assert found.environment[config.HOST_STORAGE] == storage


@pytest.mark.parametrize("cosmos", ["http://localhost:8082/", "https://localhost:8081/", "https://127.0.0.1:8081"])
def test_configured_database_on_this_machine_is_not_replaced(cosmos: str) -> None:
    value = f"AccountEndpoint={cosmos};AccountKey={COSMOS_KEY};"
    found = config.read(given={config.COSMOS: value})
    assert not found.emulate_cosmos
    assert found.environment[config.COSMOS] == value
    assert found.environment[config.HOST_COSMOS] == value


@pytest.mark.parametrize("name", [config.STORAGE, config.HOST_STORAGE])
def test_value_of_the_example_means_an_emulator_at_the_configured_ports(name: str) -> None:
    values = json.loads(config.EXAMPLE.read_text(encoding="utf-8"))["Values"]
    for value in (values[name], values[name] + ";", "UseDevelopmentStorage=true"):
        found = config.read(given={name: value, "AZURITE_BLOB_PORT": "10020"})
        assert found.emulate_storage
        assert found.environment[name] == AzuritePorts(10020, 10001, 10002).connection_string()


def test_configured_storage_of_the_host_is_kept_beside_an_emulated_one() -> None:
    found = config.read(given={config.HOST_STORAGE: LOCAL})
    assert found.emulate_storage
    assert found.environment[config.HOST_STORAGE] == LOCAL
    assert found.environment[config.STORAGE] != LOCAL


def test_services_by_managed_identity_override_the_examples_connection_strings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = json.loads(config.EXAMPLE.read_text(encoding="utf-8"))["Values"]
    values |= {
        "AZURE_STORAGE_ACCOUNT_URL": "https://real.blob.core.windows.net",
        "AZURE_COSMOS_ENDPOINT": "https://real.documents.azure.com:443/",
    }
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": values}))
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    found = config.read(given={"PORT": "7001"})
    assert (found.environment[config.STORAGE], found.environment[config.COSMOS]) == ("", "")
    assert found.environment["COSMOS__accountEndpoint"] == values["AZURE_COSMOS_ENDPOINT"]
    assert not found.emulate_cosmos
    assert found.emulate_storage, "the Functions host needs a separate storage"


def test_settings_file_is_passed_to_the_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The front and `make doctor` read their settings from the environment only."""
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {**REAL, "MAX_IMAGES": "3"}}))
    monkeypatch.setenv("LOCAL_SETTINGS", str(file))
    found = config.read(given={"MAX_IMAGES": "4"})
    assert found.environment.items() >= {**REAL, "MAX_IMAGES": "4"}.items()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:4000"}, "GEMINI_API_KEY"),
        ({config.HOST_COSMOS: REAL[config.COSMOS]}, config.COSMOS),
    ],
)
def test_incomplete_configuration_is_an_error(given: dict[str, str], message: str) -> None:
    with pytest.raises(config.WrongSetting, match=message):
        config.read(given=given)
