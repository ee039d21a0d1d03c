"""The settings, by themselves: can they be read, and is everything there that a call needs."""

from collections.abc import Mapping

from image_core.settings import Settings, SettingsError
from operations.doctor.finding import Finding, Findings


def read(environment: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """The settings, None where they cannot be read, and what is to be said of them."""
    try:
        settings = Settings.read(environment)
    except SettingsError as error:
        faults = [part.strip() for part in str(error).split(";")]
        return None, [Finding("settings", fault, "set it as the table in README.md says") for fault in faults]
    return settings, list(_needed(settings))


def _needed(settings: Settings) -> Findings:
    set_ones = sorted(str(type(settings).model_fields[name].alias) for name in settings.model_fields_set)
    yield Finding("settings", f"{len(set_ones)} set: {', '.join(set_ones)}")
    if settings.gemini_api_key is None:
        yield Finding("GEMINI_API_KEY", "not set", "get one at https://aistudio.google.com/apikey and set it")
    if settings.nextauth_secret is None and settings.nextauth_jwt != "introspect" and not settings.nextauth_public_key:
        yield Finding("NEXTAUTH_SECRET", "not set", "set it to the front end's NEXTAUTH_SECRET (AUTH_SECRET in v5)")
    if settings.nextauth_jwt == "introspect" and not settings.nextauth_url:
        yield Finding("NEXTAUTH_URL", "not set", "`introspect` asks the front end there: set its address")
    if settings.storage_connection_string is None and settings.storage_account_url is None:
        yield Finding("storage", "no address", "set AZURE_STORAGE_ACCOUNT_URL, or AZURE_STORAGE_CONNECTION_STRING")
    if settings.cosmos_connection_string is None and settings.cosmos_endpoint is None:
        yield Finding("database", "no address", "set AZURE_COSMOS_ENDPOINT, or AZURE_COSMOS_CONNECTION_STRING")
