"""Every environment variable, read once and validated. The README's table is checked against this file."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator


def _words(value: Any) -> Any:
    """`a, b,,c` is the tuple a, b, c."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _secrets(value: Any) -> Any:
    """One secret as it is, or a JSON array of several: a secret may itself hold commas and blanks."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                return tuple(json.loads(value))
            except ValueError:
                return (value,)
        return (value,)
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_secrets)]

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MEGABYTE = 1_000_000

UNRESOLVED = "@Microsoft.KeyVault("
"""A reference to the vault that the platform could not resolve stays in the setting as it is written: a text that
anybody can guess, who knows the vault's name. It must never become a secret."""


class SettingsError(ValueError):
    """The settings cannot be used; the message names each variable and never repeats a value."""


class Settings(BaseModel):
    """The settings of one process. Field aliases are the environment's names; an empty value counts as absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- the model
    gemini_api_key: SecretStr | None = Field(None, alias="GEMINI_API_KEY", description="The key of the Gemini API.")
    gemini_base_url: str | None = Field(
        None, alias="GOOGLE_GEMINI_BASE_URL", description="Another address of the Gemini API: a proxy, a stand-in."
    )
    gemini_models: Words = Field(
        ("gemini-3-pro-image-preview", "gemini-3-pro-image", "gemini-2.5-flash-image"),
        alias="GEMINI_MODELS",
        min_length=1,
        description="The chain of models, best first, separated by commas.",
    )

    # --- sessions
    nextauth_secret: SecretStr | None = Field(
        None, alias="NEXTAUTH_SECRET", description="The front end's secret. Without it every call answers 500."
    )
    nextauth_secret_previous: Secrets = Field(
        (),
        alias="NEXTAUTH_SECRET_PREVIOUS",
        description="An older secret that still verifies, or a JSON array of them.",
    )
    nextauth_cookie_name: str | None = Field(
        None, alias="NEXTAUTH_COOKIE_NAME", description="The session cookie's name, where the front end chose its own."
    )
    nextauth_salt: str | None = Field(
        None, alias="NEXTAUTH_SALT", description="The salt, where a NextAuth v4 front end sets one in `jwt`."
    )
    nextauth_jwt: Literal["encrypted", "signed", "introspect"] = Field(
        "encrypted", alias="NEXTAUTH_JWT", description="What the cookie holds: `encrypted`, `signed` or `introspect`."
    )
    nextauth_jwt_algorithms: Words = Field(
        (),
        alias="NEXTAUTH_JWT_ALGORITHMS",
        description="For `signed`: any of HS256, HS512, RS256, ES256. Default: HS256, HS512, or with a public key RS256, ES256.",
    )
    nextauth_public_key: str | None = Field(
        None, alias="NEXTAUTH_PUBLIC_KEY", description="For `signed` with RS256 or ES256: the public key, PEM."
    )
    nextauth_url: str | None = Field(
        None, alias="NEXTAUTH_URL", description="The front end's address: its origin may write, `introspect` asks it."
    )
    allowed_origins: Words = Field(
        (), alias="ALLOWED_ORIGINS", description="Other origins whose pages may call with the cookie (CORS)."
    )

    # --- storage
    storage_connection_string: SecretStr | None = Field(
        None, alias="AZURE_STORAGE_CONNECTION_STRING", description="Blob Storage, by connection string."
    )
    storage_account_url: str | None = Field(
        None, alias="AZURE_STORAGE_ACCOUNT_URL", description="Blob Storage, by address and managed identity."
    )
    storage_container: str = Field(
        "catafract", alias="AZURE_STORAGE_CONTAINER", description="The container of pictures and uploads."
    )
    storage_private_container: str = Field(
        "catafract-private",
        alias="AZURE_STORAGE_PRIVATE_CONTAINER",
        description="The container of input copies and the outbox: never public.",
    )
    image_access: Literal["public", "private"] = Field(
        "public",
        alias="IMAGE_ACCESS",
        description="`public`: pictures have the blob's own address. `private`: they are read through `/api/images`.",
    )
    cosmos_connection_string: SecretStr | None = Field(
        None, alias="AZURE_COSMOS_CONNECTION_STRING", description="Cosmos DB, by connection string."
    )
    cosmos_endpoint: str | None = Field(
        None, alias="AZURE_COSMOS_ENDPOINT", description="Cosmos DB, by address and managed identity."
    )
    cosmos_database: str = Field("catafract", alias="AZURE_COSMOS_DATABASE", description="The database.")
    cosmos_container: str = Field(
        "generations", alias="AZURE_COSMOS_CONTAINER", description="The container of records, partitioned by `/userId`."
    )
    cosmos_usage_container: str = Field(
        "usage",
        alias="AZURE_COSMOS_USAGE_CONTAINER",
        description="The container of the ledger, partitioned by `/userId`.",
    )

    # --- inputs
    fetch_allow_hosts: Words = Field(
        (),
        alias="FETCH_ALLOW_HOSTS",
        description="Names, addresses or CIDR ranges that may be fetched from although private, on any port.",
    )
    fetch_allow_ports: Annotated[tuple[int, ...], BeforeValidator(_words)] = Field(
        (80, 443), alias="FETCH_ALLOW_PORTS", description="Ports that any other host may be fetched from."
    )
    fetch_timeout_seconds: float = Field(
        10, alias="FETCH_TIMEOUT_SECONDS", gt=0, le=60, description="The longest that fetching one image may take."
    )
    max_images: int = Field(14, alias="MAX_IMAGES", ge=1, le=100, description="Images in one request.")
    max_image_bytes: int = Field(20 * MEGABYTE, alias="MAX_IMAGE_BYTES", ge=1, description="Bytes of one image.")
    max_image_pixels: int = Field(100 * MEGABYTE, alias="MAX_IMAGE_PIXELS", ge=1, description="Pixels of one image.")
    max_decoded_pixels: int = Field(
        40 * MEGABYTE, alias="MAX_DECODED_PIXELS", ge=1, description="Pixels of an image that must be converted."
    )
    max_request_bytes: int = Field(30 * MEGABYTE, alias="MAX_REQUEST_BYTES", ge=1, description="Bytes of a request.")
    max_inflight_bytes: int = Field(
        600 * MEGABYTE, alias="MAX_INFLIGHT_BYTES", ge=1, description="Image bytes in one process; beyond it 503."
    )

    # --- one generation
    response_budget_seconds: float | None = Field(
        None,
        alias="RESPONSE_BUDGET_SECONDS",
        ge=0,
        le=220,
        description="A response leaves within this time: 200 or 202. Unset: 40 behind Static Web Apps, 95 elsewhere.",
    )
    generation_deadline_seconds: float = Field(
        170, alias="GENERATION_DEADLINE_SECONDS", gt=0, le=3600, description="The longest a generation may run."
    )
    lease_seconds: float | None = Field(
        None, alias="LEASE_SECONDS", gt=0, description="How long a process holds a generation: default deadline + 60."
    )
    max_recoveries: int = Field(
        1, alias="MAX_RECOVERIES", ge=0, le=10, description="How often a generation whose process died is run again."
    )
    recovery_interval: str = Field(
        "0 * * * * *",
        alias="RECOVERY_INTERVAL",
        description="When the recovery looks for them: an NCRONTAB expression.",
    )
    max_concurrent_per_user: int = Field(
        10, alias="MAX_CONCURRENT_PER_USER", ge=1, description="Running generations of one user; beyond it 429."
    )

    # --- what is logged
    log_prompts: bool = Field(
        default=False, alias="LOG_PROMPTS", description="`true`: the log line of each generation holds its prompt."
    )

    # --- money
    daily_budget_usd_per_user: Dollars | None = Field(
        None,
        alias="DAILY_BUDGET_USD_PER_USER",
        description="US dollars that one user may spend in a day (UTC); beyond it 429. 0: nothing. Unset: no limit.",
    )
    daily_budget_usd: Dollars | None = Field(
        None,
        alias="DAILY_BUDGET_USD",
        description="US dollars that all users together may spend in a day (UTC). 0: nothing. Unset: no limit.",
    )

    @model_validator(mode="after")
    def _a_lease_outlives_its_generation(self) -> Self:
        if self.lease_seconds is not None and self.lease_seconds <= self.generation_deadline_seconds:
            raise ValueError("LEASE_SECONDS must be more than GENERATION_DEADLINE_SECONDS")
        return self

    @property
    def lease(self) -> float:
        """Seconds that a claim holds: the margin of 60 s covers clocks and the last writes."""
        return self.lease_seconds if self.lease_seconds is not None else self.generation_deadline_seconds + 60

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings in `environment`. Raises SettingsError that names each variable in error."""
        present = {name: value for name, value in environment.items() if value.strip()}
        ours = {field.alias for field in cls.model_fields.values()}
        unresolved = sorted(name for name, value in present.items() if name in ours and value.startswith(UNRESOLVED))
        if unresolved:
            raise SettingsError(f"{', '.join(unresolved)}: the reference to the Key Vault was not resolved")
        try:
            return cls.model_validate(present)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors())
            raise SettingsError("; ".join(faults)) from None
