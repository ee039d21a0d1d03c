"""Settings are read once, checked, and never shown."""

import pytest

from image_core.settings import Settings, SettingsError


def test_without_a_variable_the_documented_defaults_hold() -> None:
    settings = Settings.read({})
    assert settings.gemini_models == ("gemini-3-pro-image-preview", "gemini-3-pro-image", "gemini-2.5-flash-image")
    assert (settings.storage_container, settings.cosmos_database, settings.cosmos_container) == (
        "catafract",
        "catafract",
        "generations",
    )
    assert settings.response_budget_seconds is None
    assert settings.lease == settings.generation_deadline_seconds + 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_ACCESS", "friends"),
        ("MAX_IMAGES", "0"),
        ("MAX_IMAGES", "many"),
        ("FETCH_ALLOW_PORTS", "80,http"),
        ("GEMINI_MODELS", " , "),
        ("RESPONSE_BUDGET_SECONDS", "-1"),
        ("LEASE_SECONDS", "10"),
        ("NEXTAUTH_JWT", "plain"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: value})
    assert name in str(caught.value)
    assert not value.isalpha() or value not in str(caught.value)


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.read({"NEXTAUTH_SECRET": "", "GEMINI_API_KEY": "  "}).nextauth_secret is None


@pytest.mark.parametrize(
    ("value", "secrets"),
    [("a secret, with commas", ["a secret, with commas"]), ('["one, two","three"]', ["one, two", "three"])],
)
def test_older_secrets_are_one_or_a_json_array(value: str, secrets: list[str]) -> None:
    read = Settings.read({"NEXTAUTH_SECRET_PREVIOUS": value}).nextauth_secret_previous
    assert [secret.get_secret_value() for secret in read] == secrets


def test_a_secret_does_not_show_in_the_settings_text() -> None:
    assert "hush" not in repr(Settings.read({"NEXTAUTH_SECRET": "hush", "GEMINI_API_KEY": "hush"}))
