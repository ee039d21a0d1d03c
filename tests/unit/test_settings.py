"""Settings are checked, and secrets among them are never shown."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.api.origin import OriginPolicy
from image_core.settings import FUNCTION_TIMEOUT_SECONDS, LONGEST_DEADLINE_SECONDS, Settings, SettingsError
from tests.support.paths import ROOT


def test_defaults_are_the_documented_ones() -> None:
    settings = Settings.read({})
    assert settings.gemini_models == ("gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image")
    assert (settings.storage_container, settings.cosmos_database, settings.cosmos_container) == (
        "catafract",
        "catafract",
        "generations",
    )
    assert settings.response_budget_seconds is None
    assert settings.lease_seconds == 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_ACCESS", "friends"),
        ("MAX_IMAGES", "0"),
        ("MAX_IMAGES", "many"),
        ("FETCH_ALLOW_PORTS", "80,http"),
        ("GEMINI_MODELS", " , "),
        ("RESPONSE_BUDGET_SECONDS", "-1"),
        ("LEASE_SECONDS", "2"),
        ("NEXTAUTH_JWT", "plain"),
    ],
)
def test_error_of_an_invalid_value_names_the_variable_and_not_the_value(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: value})
    assert name in str(caught.value)
    assert not value.isalpha() or value not in str(caught.value)


def test_empty_variable_counts_as_absent() -> None:
    assert Settings.read({"NEXTAUTH_SECRET": "", "GEMINI_API_KEY": "  "}).nextauth_secret is None


@pytest.mark.parametrize(
    ("value", "secrets"),
    [("a secret, with commas", ["a secret, with commas"]), ('["one, two","three"]', ["one, two", "three"])],
)
def test_older_secrets_are_one_or_a_json_array(value: str, secrets: list[str]) -> None:
    read = Settings.read({"NEXTAUTH_SECRET_PREVIOUS": value}).nextauth_secret_previous
    assert [secret.get_secret_value() for secret in read] == secrets


def test_secret_is_not_in_the_text_of_the_settings() -> None:
    settings = Settings.read({"NEXTAUTH_SECRET": "confidential", "GEMINI_API_KEY": "confidential"})
    assert "confidential" not in repr(settings)


STORAGE = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5;EndpointSuffix=core.windows.net"
COSMOS = "AccountEndpoint=https://acc.documents.azure.com:443/;AccountKey=a2V5;"

UNUSABLE: list[tuple[str, str]] = [
    *(
        ("ALLOWED_ORIGINS", value)
        for value in (
            *("studio.example.com", "localhost:3000", "//studio.example.com", "https:studio.example.com", "null", "*"),
            *(
                "https://*.example.com",
                "https://studio.example.com/app",
                "https://studio.example.com?x",
                "https://x.example#y",
            ),
            *('"https://studio.example.com"', "'https://studio.example.com'", '["https://studio.example.com"]'),
            *("https://studio.example.com, other.example.com", 'https://a.example,"https://b.example"'),
            *("https://studio.example.com:port", "https://studio.example.com:99999", "https://user@studio.example.com"),
            *("https://b\u00fc..cher.example", "https://a.example https://b.example", "https://"),
        )
    ),
    *(
        ("NEXTAUTH_URL", value)
        for value in (
            *(
                "app.example.com",
                "localhost:3000",
                "//app.example.com",
                '"https://app.example.com"',
                "ftp://app.example.com",
            ),
            *(
                "https://app.example.com?x=1",
                "https://app.example.com/#x",
                "https://me:pass@app.example.com",
                "https://:80",
            ),
        )
    ),
    *(
        (name, value)
        for name in ("AZURE_STORAGE_ACCOUNT_URL", "AZURE_COSMOS_ENDPOINT", "GOOGLE_GEMINI_BASE_URL")
        for value in (
            "acc.example.com",
            '"https://acc.example.com"',
            "https://",
            "https://acc example.com",
            "tcp://acc.example",
        )
    ),
    *(
        ("AZURE_STORAGE_CONNECTION_STRING", value)
        for value in (
            f'"{STORAGE}"',
            f"'{STORAGE}'",
            f'"{STORAGE}',
            STORAGE.replace("acc", '"acc"'),
            "https://acc.blob",
            COSMOS,
        )
    ),
    *(
        ("AZURE_COSMOS_CONNECTION_STRING", value)
        for value in (
            f'"{COSMOS}"',
            f"'{COSMOS}'",
            COSMOS.split(";", maxsplit=1)[0],
            COSMOS.replace("a2V5", ""),
            STORAGE,
            "x",
        )
    ),
    ("GEMINI_API_KEY", '"a-key"'),
    ("GEMINI_API_KEY", "a key"),
    ("GEMINI_API_KEY", "a\u2011key"),
    ("GEMINI_MODELS", '"gemini-a","gemini-b"'),
    ("GEMINI_MODELS", "gemini-a gemini-b"),
    ("NEXTAUTH_COOKIE_NAME", "a b"),
    ("NEXTAUTH_COOKIE_NAME", "sid=1"),
    ("NEXTAUTH_COOKIE_NAME", '"sid"'),
    ("NEXTAUTH_PUBLIC_KEY", '"-----BEGIN PUBLIC KEY-----"'),
    ("AZURE_STORAGE_CONTAINER", "StoredImages"),
    ("AZURE_STORAGE_CONTAINER", "a/b"),
    ("AZURE_STORAGE_CONTAINER", "ab"),
    ("AZURE_STORAGE_PRIVATE_CONTAINER", "catafract"),
    ("AZURE_COSMOS_DATABASE", "a/b"),
    ("AZURE_COSMOS_CONTAINER", "'generations'"),
    ("AZURE_COSMOS_USAGE_CONTAINER", "generations"),
    ("FETCH_ALLOW_HOSTS", "https://intranet.example"),
    ("FETCH_ALLOW_HOSTS", "intranet.example:8080"),
    ("FETCH_ALLOW_HOSTS", "*.example"),
    ("FETCH_ALLOW_HOSTS", "10.0.0.0/99"),
    ("FETCH_ALLOW_PORTS", "80,70000"),
    ("FETCH_ALLOW_PORTS", "0"),
    ("RECOVERY_INTERVAL", "every minute"),
    ("RECOVERY_INTERVAL", "60"),
]


@pytest.mark.parametrize(("name", "value"), UNUSABLE, ids=[f"{name} {value!a}" for name, value in UNUSABLE])
def test_value_that_cannot_work_is_an_error_that_names_the_variable_only(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: ") or f"settings: {name} " in message
    assert len(value) < 9 or value not in message
    assert ";" not in message  # it separates several errors


USABLE: list[tuple[str, str]] = [
    ("ALLOWED_ORIGINS", "https://studio.example.com, http://localhost:3000,https://[::1]:8443, capacitor://localhost"),
    ("ALLOWED_ORIGINS", "https://studio.example.com/"),
    ("ALLOWED_ORIGINS", "https://b\u00fccher.example:8443"),
    ("NEXTAUTH_URL", "https://b\u00fccher.example"),
    ("ALLOWED_ORIGINS", " \n"),
    ("NEXTAUTH_URL", "https://app.example.com/shop/api/auth"),
    ("NEXTAUTH_URL", "http://localhost:3000/\n"),
    ("AZURE_STORAGE_CONNECTION_STRING", STORAGE),
    ("AZURE_STORAGE_CONNECTION_STRING", f"{STORAGE};\r\n"),
    ("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"),
    (
        "AZURE_STORAGE_CONNECTION_STRING",
        "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x",
    ),
    ("AZURE_COSMOS_CONNECTION_STRING", COSMOS),
    ("AZURE_COSMOS_ENDPOINT", "https://acc.documents.azure.com:443/"),
    ("FETCH_ALLOW_HOSTS", "intranet.example, 10.0.0.0/8, ::1, [fd00::1], 10.1.2.3, b\u00fccher.example"),
    ("IMAGE_ACCESS", "private\n"),
    ("GOOGLE_GEMINI_BASE_URL", "https://user:password@gateway.example/gemini?x=1"),
    ("RECOVERY_INTERVAL", "*/20 * * * * *"),
    ("RECOVERY_INTERVAL", "0 0,30 9-17 * JAN-DEC Mon-Fri"),
    ("RECOVERY_INTERVAL", "00:01:00"),
    ("NEXTAUTH_COOKIE_NAME", "__Host-my.session+1"),
    ("NEXTAUTH_SECRET", '"a secret in quotes"'),
]


@pytest.mark.parametrize(("name", "value"), USABLE, ids=[f"{name} {value!a}" for name, value in USABLE])
def test_valid_value_is_accepted(name: str, value: str) -> None:
    Settings.read({name: value})


def test_several_errors_are_reported_together() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"MAX_IMAGES": "0", "NEXTAUTH_URL": "app.example.com", "ALLOWED_ORIGINS": "*, *"})
    names = [part.partition(":")[0].strip() for part in str(caught.value).split(";")]
    assert set(names) == {"MAX_IMAGES", "NEXTAUTH_URL", "ALLOWED_ORIGINS"}


@pytest.mark.parametrize("padding", ["{}\n", "{}\r\n", " {}", "\t{} ", "\ufeff{}\n"])
def test_whitespace_around_a_secret_is_removed_with_a_warning(padding: str, caplog: pytest.LogCaptureFixture) -> None:
    values = {
        "GEMINI_API_KEY": "confidential-key",
        "NEXTAUTH_SECRET": "confidential secret",
        "NEXTAUTH_SECRET_PREVIOUS": "confidential, older",
        "AZURE_STORAGE_CONNECTION_STRING": STORAGE,
        "AZURE_COSMOS_CONNECTION_STRING": COSMOS,
    }
    with caplog.at_level(logging.WARNING):
        read = Settings.read({name: padding.format(value) for name, value in values.items()})
    for field, value in (
        (read.gemini_api_key, "confidential-key"),
        (read.nextauth_secret, "confidential secret"),
        (read.storage_connection_string, STORAGE),
        (read.cosmos_connection_string, COSMOS),
    ):
        assert field is not None
        assert field.get_secret_value() == value
    assert read.nextauth_secret_previous[0].get_secret_value() == "confidential, older"
    assert sorted(record.getMessage().partition(":")[0] for record in caplog.records) == sorted(values)
    assert "confidential" not in caplog.text


def test_whitespace_around_each_of_several_secrets_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    read = Settings.read({"NEXTAUTH_SECRET_PREVIOUS": '["one\\n", "two", " "]\n'}).nextauth_secret_previous
    assert [secret.get_secret_value() for secret in read] == ["one", "one\n", "two"]
    assert "NEXTAUTH_SECRET_PREVIOUS" in caplog.text


def test_session_secret_with_its_whitespace_still_verifies() -> None:
    read = Settings.read({"NEXTAUTH_SECRET": "secret\n", "NEXTAUTH_SECRET_PREVIOUS": "older\n"})
    previous = [secret.get_secret_value() for secret in read.nextauth_secret_previous]
    assert previous == ["older", "older\n", "secret\n"]


def test_secrets_without_whitespace_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    Settings.read(
        {"NEXTAUTH_SECRET": "a secret", "NEXTAUTH_SECRET_PREVIOUS": '["a", "b"]\n', "IMAGE_ACCESS": "public\n"}
    )
    assert caplog.records == []


def test_deadline_beyond_the_function_timeout_is_an_error_that_names_the_setting() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + seconds == FUNCTION_TIMEOUT_SECONDS
    longest = str(LONGEST_DEADLINE_SECONDS)
    assert (
        Settings.read({"GENERATION_DEADLINE_SECONDS": longest}).generation_deadline_seconds < FUNCTION_TIMEOUT_SECONDS
    )
    for beyond in (str(LONGEST_DEADLINE_SECONDS + 1), str(FUNCTION_TIMEOUT_SECONDS), "3600"):
        with pytest.raises(SettingsError, match="GENERATION_DEADLINE_SECONDS"):
            Settings.read({"GENERATION_DEADLINE_SECONDS": beyond})


REFERENCE = "@Microsoft.KeyVault(SecretUri=https://kv-x.vault.azure.net/secrets/NEXTAUTH-SECRET-PREVIOUS/)"


@pytest.mark.parametrize(
    ("previous", "left"),
    [
        (REFERENCE, []),
        (f" {REFERENCE}\n", []),
        (REFERENCE.lower(), []),
        (json.dumps([REFERENCE, "an older secret"]), ["an older secret"]),
    ],
)
def test_older_secret_with_an_unresolved_reference_is_left_out_with_an_error_in_the_log(
    previous: str, left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    read = Settings.read({"NEXTAUTH_SECRET": "a secret", "NEXTAUTH_SECRET_PREVIOUS": previous})
    assert [secret.get_secret_value() for secret in read.nextauth_secret_previous] == left
    assert read.nextauth_secret is not None
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "NEXTAUTH_SECRET_PREVIOUS" in record.getMessage()
    assert "kv-x" not in caplog.text


@pytest.mark.parametrize("name", ["NEXTAUTH_SECRET", "GEMINI_API_KEY"])
@pytest.mark.parametrize("value", [REFERENCE, REFERENCE.lower()])
def test_unresolved_reference_to_the_vault_never_becomes_a_secret(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: the reference"):
        Settings.read({name: value})


NAMES = sorted(str(field.alias) for field in Settings.model_fields.values())
TEXTS = st.one_of(st.text(max_size=40), st.from_regex(r"(https?|x)://[\[\]@:/?#%.\w\u00fc-]{0,20}", fullmatch=True))


@given(name=st.sampled_from(NAMES), value=TEXTS)
def test_any_value_is_read_or_refused_with_its_variable(name: str, value: str) -> None:
    fault = name
    try:
        settings = Settings.read({name: value})
        OriginPolicy(settings.allowed_origins, settings.nextauth_url)
    except SettingsError as error:
        fault = str(error)
    assert name in fault
