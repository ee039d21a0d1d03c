"""Check the settings: whether they can be read, and whether any is missing that a request needs."""

from collections.abc import Mapping

from image_core.settings import Settings, SettingsError
from operations.doctor.finding import Finding, Findings


def read(environment: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, None if they cannot be read, and the findings about them."""
    try:
        settings = Settings.read(environment)
    except SettingsError as error:
        faults = [part.strip() for part in str(error).split(";")]
        return None, [Finding("settings", fault, "correct it; docs/settings.md says how") for fault in faults]
    return settings, list(_needed(settings))


def _needed(settings: Settings) -> Findings:
    names = sorted(str(type(settings).model_fields[name].alias) for name in settings.model_fields_set)
    yield Finding("settings", f"{len(names)} set: {', '.join(names)}")
    if settings.gemini_api_key is None:
        yield Finding("GEMINI_API_KEY", "not set", "get one at https://aistudio.google.com/apikey and set it")
    if settings.nextauth_secret is None and settings.nextauth_jwt != "introspect" and not settings.nextauth_public_key:
        yield Finding("NEXTAUTH_SECRET", "not set", "set it to the front end's NEXTAUTH_SECRET (AUTH_SECRET in v5)")
    if settings.nextauth_jwt == "introspect" and not settings.nextauth_url:
        yield Finding(
            "NEXTAUTH_URL", "not set", "set it to the front end's address, which NEXTAUTH_JWT=introspect calls"
        )
    if settings.storage_connection_string is None and settings.storage_account_url is None:
        yield Finding("storage", "not configured", "set AZURE_STORAGE_ACCOUNT_URL, or AZURE_STORAGE_CONNECTION_STRING")
    if settings.cosmos_connection_string is None and settings.cosmos_endpoint is None:
        yield Finding("database", "not configured", "set AZURE_COSMOS_ENDPOINT, or AZURE_COSMOS_CONNECTION_STRING")
