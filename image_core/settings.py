"""The settings: every environment variable, read once and validated.

The table in docs/settings.md is generated from this module. An error names the variable and never repeats its value.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from image_core.email_address import lowered

log = logging.getLogger("image_core.settings")

WEB_SCHEMES = {"http", "https"}
QUOTES = "\"'"


def _words(value: Any) -> Any:
    """Return the words of a list separated by commas: `a, b,,c` has a, b and c."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _secrets(value: Any) -> Any:
    """Return one secret, or those of a JSON array: a secret may itself contain commas and blanks."""
    if not isinstance(value, str):
        return value
    secrets: Any = [value]
    if _trimmed(value).startswith("["):
        try:
            secrets = json.loads(_trimmed(value))
        except ValueError:
            secrets = [value]
    return tuple(form for secret in secrets for form in _forms(secret))


def _forms(secret: Any) -> list[Any]:
    """Return a secret without surrounding blanks, and as it is written: the front end's copy may have them too."""
    if not isinstance(secret, str) or secret == _trimmed(secret):
        return [secret] if secret else []
    _warn_of_blanks("NEXTAUTH_SECRET_PREVIOUS")
    return [_trimmed(secret), secret] if _trimmed(secret) else []


def _trimmed(value: str) -> str:
    """Remove blanks and line breaks at both ends, and a byte order mark."""
    return value.strip().removeprefix("\ufeff").strip()


def _warn_of_blanks(name: str) -> None:
    log.warning("%s: blanks or line breaks around the value were removed", name)


def _api_key(value: SecretStr) -> SecretStr:
    """Check that an HTTP header can carry the key. Raises ValueError."""
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("the key contains a blank, a line break or another character that keys do not have")
    return value


def _address(value: str) -> SplitResult:
    """Return the parts of an absolute URL. Raises ValueError."""
    if re.search(r"[\s\"'\\<>]", value):
        raise ValueError("an address must not contain quotes, blanks and backslashes")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
        if not value.isascii():
            from yarl import URL  # noqa: PLC0415 - only for host names that are not ASCII

            usable = usable and bool(URL(value).host)
    except ValueError:
        usable = False
    if not usable or "://" not in value:
        raise ValueError("an address starts with its scheme and host, as in https://host.example")
    return parts


def _public_address(value: str) -> SplitResult:
    """Return the parts of a URL without user and password. Raises ValueError."""
    parts = _address(value)
    if parts.username is not None:
        raise ValueError("the address must not contain a user or password")
    return parts


def _service(value: str) -> str:
    """Check that it is an http(s) URL. Raises ValueError."""
    if _address(value).scheme.lower() not in WEB_SCHEMES:
        raise ValueError("an address starts with https:// (or http://)")
    return value


def _site(value: str) -> str:
    """Check that it is an http(s) URL to which a path can be appended. Raises ValueError."""
    _public_address(_service(value))
    if "?" in value or "#" in value:
        raise ValueError("the address must not contain a query or fragment")
    return value


def _origin(value: str) -> str:
    """Check that it is an origin, as browsers send it; a slash at its end is accepted. Raises ValueError."""
    if "*" in value:
        raise ValueError("a wildcard is not supported: name every origin")
    parts = _public_address(value)
    if parts.path not in {"", "/"} or "?" in value or "#" in value:
        raise ValueError("an origin is a scheme, a host and a port, without a path")
    return value


def _host_or_range(value: str) -> str:
    """Check that it is a host name, an IP address or a range of addresses. Raises ValueError."""
    try:
        ip_network(value.strip("[]"), strict=False)
    except ValueError:
        if not re.fullmatch(r"[^\s\"'/:*@,\[\]]+", value):
            raise ValueError(
                "each is a host name, an IP address or a range in CIDR form, without scheme and port"
            ) from None
    return value


def _connection_string(*needed: str) -> AfterValidator:
    """Return a validator for `Name=value;…` with one of `needed`: lower-case names, joined by `+`."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if any(quote in text for quote in QUOTES):
            raise ValueError("a part of the value is in quotes: remove them")
        pairs = [pair.partition("=") for pair in text.rstrip(";").split(";")]
        names = {name.strip().lower() for name, _, content in pairs if content}
        if not all(separator for _, separator, _ in pairs) or not any(set(each.split("+")) <= names for each in needed):
            raise ValueError("it is not a complete connection string: copy it from the Azure portal")
        return value

    return AfterValidator(check)


def _matching(pattern: str, message: str) -> AfterValidator:
    """Return a validator for text that matches `pattern` completely."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


ServiceAddress = Annotated[str, AfterValidator(_service)]
SiteAddress = Annotated[str, AfterValidator(_site)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_words)]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host_or_range)], ...], BeforeValidator(_words)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], BeforeValidator(_words)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_secrets)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
StorageConnection = Annotated[SecretStr, _connection_string("blobendpoint", "accountname", "usedevelopmentstorage")]
CosmosConnection = Annotated[SecretStr, _connection_string("accountendpoint+accountkey")]
ModelNames = Annotated[
    tuple[Annotated[str, _matching(r"[\w.:/@-]+", "a model's name must not contain quotes or blanks")], ...],
    BeforeValidator(_words),
]
CookieName = Annotated[
    str,
    _matching(
        r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+",
        "a cookie's name must not contain blanks, quotes, commas, semicolons or equals signs",
    ),
]
BlobContainer = Annotated[
    str,
    _matching(
        r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*",
        "a container's name is 3 to 63 of a-z, 0-9 and single hyphens between them",
    ),
]
Schedule = Annotated[
    str,
    _matching(
        r"([\w*/,?-]+ +){4,5}[\w*/,?-]+|(\d+\.)?\d{1,2}:\d{2}:\d{2}",
        "it is neither an NCRONTAB expression of six fields nor a time span",
    ),
]
CosmosName = Annotated[str, _matching(r"[^/\\#?\"']{1,255}", "the name must not contain / \\ # ? or quotes")]

Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MEGABYTE = 1_000_000

DEFAULT_CHAIN = ("gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image")
"""The default of `GEMINI_MODELS`; tests check that the catalog has them."""

FUNCTION_TIMEOUT_SECONDS = 600
"""`functionTimeout` of host.json. A longer invocation restarts the worker, which ends all other invocations."""
LONGEST_DEADLINE_SECONDS = FUNCTION_TIMEOUT_SECONDS - 60
"""Maximum of `GENERATION_DEADLINE_SECONDS`: the invocation also loads the inputs and stores the image."""

UNRESOLVED = "@Microsoft.KeyVault("
"""A Key Vault reference that the platform could not resolve stays in the setting as it is written. It must never be
used as a secret: anybody who knows the vault's name can guess it."""

PREVIOUS = "NEXTAUTH_SECRET_PREVIOUS"

MAY_BE_QUOTED = {"NEXTAUTH_SECRET", "NEXTAUTH_SECRET_PREVIOUS", "NEXTAUTH_SALT"}
"""Values that the front end chose: quotes may be part of them."""
SECRETS = (
    *("GEMINI_API_KEY", "NEXTAUTH_SECRET"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_COSMOS_CONNECTION_STRING"),
)
"""Variables with one secret: surrounding blanks, which are easily pasted along, are removed with a warning."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one user. Budgets are US dollars; None where there is no limit."""

    max_concurrent: int
    daily_budget_usd: float | None
    monthly_budget_usd: float | None


class UserLimits(BaseModel):
    """The limits that `USER_LIMITS` sets for one user in place of those for all users."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, hide_input_in_errors=True)

    daily_budget_usd: Dollars | None = None
    monthly_budget_usd: Dollars | None = None
    max_concurrent: int | None = Field(None, ge=1)


def _user_limits(value: Any) -> Any:
    """Parse a JSON object of e-mail address to limits. Errors name an entry by its number, not by its address."""
    if not isinstance(value, str):
        return value
    try:
        given = json.loads(value, object_pairs_hook=_once)
    except ValueError as error:
        reason = str(error) if isinstance(error, RepeatedName) else "it is not JSON"
        raise ValueError(f'{reason}: write it as {{"a@example.com": {{"dailyBudgetUsd": 5}}}}') from None
    if not isinstance(given, dict):
        raise ValueError('a JSON object is needed: {"a@example.com": {"dailyBudgetUsd": 5}}')  # noqa: TRY004 - pydantic takes a ValueError
    read: dict[str, UserLimits] = {}
    for number, (email, limits) in enumerate(given.items(), 1):
        name = lowered(email.strip())
        if not name or name in read:
            raise ValueError(
                f"entry {number}: {'the e-mail address is repeated' if name else 'there is no e-mail address'}"
            )
        try:
            read[name] = UserLimits.model_validate(limits)
        except ValidationError as error:
            fault = error.errors(include_input=False)[0]
            where = ".".join(map(str, fault["loc"])) or "limits"
            known = ", ".join(field.alias or "" for field in UserLimits.model_fields.values())
            reason = f"no such limit: {known}" if fault["type"] == "extra_forbidden" else fault["msg"]
            raise ValueError(f"entry {number}, {where}: {reason}") from None
    return read


class RepeatedName(ValueError):
    """A JSON object has a name twice: parsers silently use the second."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise RepeatedName("a name is in it twice")
    return dict(pairs)


class SettingsError(ValueError):
    """The settings cannot be used; the message names each variable and never repeats a value."""


class Settings(BaseModel):
    """The settings of one process. Field aliases are the environment's names; an empty value counts as absent."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- the model
    gemini_api_key: ApiKey | None = Field(None, alias="GEMINI_API_KEY", description="The key of the Gemini API.")
    gemini_base_url: ServiceAddress | None = Field(
        None, alias="GOOGLE_GEMINI_BASE_URL", description="Another address of the Gemini API, for example of a proxy."
    )
    gemini_models: ModelNames = Field(
        DEFAULT_CHAIN,
        alias="GEMINI_MODELS",
        min_length=1,
        description="The fallback chain of models, best first, separated by commas. A retired name means its"
        " successor.",
    )

    # --- sessions
    nextauth_secret: SecretStr | None = Field(
        None, alias="NEXTAUTH_SECRET", description="The front end's secret. Without it every call is answered with 500."
    )
    nextauth_secret_previous: Secrets = Field(
        (),
        alias="NEXTAUTH_SECRET_PREVIOUS",
        description="A previous secret that is still accepted, or a JSON array of several.",
    )
    nextauth_cookie_name: CookieName | None = Field(
        None, alias="NEXTAUTH_COOKIE_NAME", description="The session cookie's name, where the front end sets its own."
    )
    nextauth_salt: str | None = Field(
        None, alias="NEXTAUTH_SALT", description="The salt, where a NextAuth v4 front end sets one in `jwt`."
    )
    nextauth_jwt: Literal["encrypted", "signed", "introspect"] = Field(
        "encrypted", alias="NEXTAUTH_JWT", description="The form of sessions: `encrypted`, `signed` or `introspect`."
    )
    nextauth_jwt_algorithms: Words = Field(
        (),
        alias="NEXTAUTH_JWT_ALGORITHMS",
        description="For `signed`: any of HS256, HS512, RS256, ES256. Default: HS256, HS512, or with a public"
        " key RS256, ES256.",
    )
    nextauth_public_key: str | None = Field(
        None, alias="NEXTAUTH_PUBLIC_KEY", description="For `signed` with RS256 or ES256: the public key, PEM."
    )
    nextauth_url: SiteAddress | None = Field(
        None,
        alias="NEXTAUTH_URL",
        description="The front end's address. Its pages may write; `introspect` verifies sessions there.",
    )
    allowed_origins: Origins = Field(
        (),
        alias="ALLOWED_ORIGINS",
        description="Other origins whose pages may call with the cookie (CORS): `https://host`, separated by commas.",
    )

    # --- storage
    storage_connection_string: StorageConnection | None = Field(
        None, alias="AZURE_STORAGE_CONNECTION_STRING", description="Blob Storage, by connection string."
    )
    storage_account_url: ServiceAddress | None = Field(
        None, alias="AZURE_STORAGE_ACCOUNT_URL", description="Blob Storage, by address and managed identity."
    )
    storage_container: BlobContainer = Field(
        "catafract", alias="AZURE_STORAGE_CONTAINER", description="The container of images and uploads."
    )
    storage_private_container: BlobContainer = Field(
        "catafract-private",
        alias="AZURE_STORAGE_PRIVATE_CONTAINER",
        description="The container of input copies and the outbox: never public.",
    )
    image_access: Literal["public", "private"] = Field(
        "public",
        alias="IMAGE_ACCESS",
        description="`public`: images have the blob's own URL. `private`: they are read through `/api/images`.",
    )
    cosmos_connection_string: CosmosConnection | None = Field(
        None, alias="AZURE_COSMOS_CONNECTION_STRING", description="Cosmos DB, by connection string."
    )
    cosmos_endpoint: ServiceAddress | None = Field(
        None, alias="AZURE_COSMOS_ENDPOINT", description="Cosmos DB, by address and managed identity."
    )
    cosmos_database: CosmosName = Field("catafract", alias="AZURE_COSMOS_DATABASE", description="The database.")
    cosmos_container: CosmosName = Field(
        "generations", alias="AZURE_COSMOS_CONTAINER", description="The container of records, partitioned by `/userId`."
    )
    cosmos_usage_container: CosmosName = Field(
        "usage",
        alias="AZURE_COSMOS_USAGE_CONTAINER",
        description="The container of the ledger, partitioned by `/userId`.",
    )

    # --- inputs
    fetch_allow_hosts: Hosts = Field(
        (),
        alias="FETCH_ALLOW_HOSTS",
        description="Private host names, addresses or CIDR ranges from which images may be fetched, on any port.",
    )
    fetch_allow_ports: Ports = Field(
        (80, 443), alias="FETCH_ALLOW_PORTS", description="Ports on which images may be fetched from other hosts."
    )
    fetch_contact: Annotated[str, _matching(r"[!-'*-~]+", "an address or e-mail address without blanks")] | None = (
        Field(
            None,
            alias="FETCH_CONTACT",
            description="Address or e-mail address in the `User-Agent` of fetches, for the servers' operators."
            " Unset: `NEXTAUTH_URL`.",
        )
    )
    fetch_timeout_seconds: float = Field(
        10, alias="FETCH_TIMEOUT_SECONDS", gt=0, le=60, description="Maximum time for fetching one image, in seconds."
    )
    max_images: int = Field(
        14, alias="MAX_IMAGES", ge=1, le=100, description="Maximum number of images in one request."
    )
    max_image_bytes: int = Field(
        20 * MEGABYTE, alias="MAX_IMAGE_BYTES", ge=1, description="Maximum size of one image, in bytes."
    )
    max_image_pixels: int = Field(
        120 * MEGABYTE, alias="MAX_IMAGE_PIXELS", ge=1, description="Maximum number of pixels of one image."
    )
    max_decoded_pixels: int = Field(
        65 * MEGABYTE,
        alias="MAX_DECODED_PIXELS",
        ge=1,
        description="Maximum number of pixels of an image that must be converted. The sandbox's memory limit"
        " follows from it.",
    )
    max_request_bytes: int = Field(
        30 * MEGABYTE, alias="MAX_REQUEST_BYTES", ge=1, description="Maximum size of a request, in bytes."
    )
    max_inflight_bytes: int = Field(
        600 * MEGABYTE,
        alias="MAX_INFLIGHT_BYTES",
        ge=1,
        description="Memory budget of one process for requests and images, in bytes; beyond it 503.",
    )

    # --- one generation
    response_budget_seconds: float | None = Field(
        None,
        alias="RESPONSE_BUDGET_SECONDS",
        ge=0,
        le=220,
        description="Response budget: seconds until a response is sent, 200 or 202. Unset: 40 behind Static Web"
        " Apps, else 95.",
    )
    generation_deadline_seconds: float = Field(
        170,
        alias="GENERATION_DEADLINE_SECONDS",
        gt=0,
        le=LONGEST_DEADLINE_SECONDS,
        description=f"Maximum time of a generation, in seconds; at most {LONGEST_DEADLINE_SECONDS}, within"
        f" `functionTimeout`.",
    )
    lease_seconds: float = Field(
        60,
        alias="LEASE_SECONDS",
        ge=3,
        le=600,
        description="Lifetime of a lease, in seconds. Its owner renews it three times in that time."
        " The generations of a killed process wait as long.",
    )
    max_recoveries: int = Field(
        1,
        alias="MAX_RECOVERIES",
        ge=0,
        le=10,
        description="How many times a generation is run again after its process died.",
    )
    recovery_interval: Schedule = Field(
        "0 * * * * *",
        alias="RECOVERY_INTERVAL",
        description="Schedule of the recovery of unfinished generations: an NCRONTAB expression.",
    )
    max_concurrent_per_user: int = Field(
        10,
        alias="MAX_CONCURRENT_PER_USER",
        ge=1,
        description="Maximum number of running generations of one user; beyond it 429.",
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

    monthly_budget_usd_per_user: Dollars | None = Field(
        None,
        alias="MONTHLY_BUDGET_USD_PER_USER",
        description="US dollars that one user may spend in a month (UTC). 0: nothing. Unset: no limit.",
    )
    monthly_budget_usd: Dollars | None = Field(
        None,
        alias="MONTHLY_BUDGET_USD",
        description="US dollars that all users together may spend in a month (UTC). 0: nothing. Unset: no limit.",
    )
    user_limits: Annotated[Mapping[str, UserLimits], BeforeValidator(_user_limits)] = Field(
        {},
        alias="USER_LIMITS",
        description="Limits of single users: a JSON object that maps an e-mail address to any of `dailyBudgetUsd`,"
        " `monthlyBudgetUsd` (null: no limit) and `maxConcurrent`,"
        ' as in `{"a@example.com": {"dailyBudgetUsd": 5}}`.',
    )

    # --- what is logged
    log_prompts: bool = Field(
        default=False, alias="LOG_PROMPTS", description="`true`: the log line of each generation contains its prompt."
    )

    @model_validator(mode="after")
    def _containers_differ(self) -> Self:
        if self.storage_container == self.storage_private_container:
            # The first may be public; the second must not be.
            raise ValueError("AZURE_STORAGE_PRIVATE_CONTAINER must differ from AZURE_STORAGE_CONTAINER")
        if self.cosmos_container == self.cosmos_usage_container:
            raise ValueError("AZURE_COSMOS_USAGE_CONTAINER must differ from AZURE_COSMOS_CONTAINER")
        return self

    def limits_of(self, user_id: str) -> "Limits":
        """Return the limits of one user: those of USER_LIMITS, else those for all users."""
        own = self.user_limits.get(user_id)
        given = own.model_fields_set if own is not None else set()
        return Limits(
            own.max_concurrent if own is not None and own.max_concurrent is not None else self.max_concurrent_per_user,
            own.daily_budget_usd if own is not None and "daily_budget_usd" in given else self.daily_budget_usd_per_user,
            own.monthly_budget_usd
            if own is not None and "monthly_budget_usd" in given
            else self.monthly_budget_usd_per_user,
        )

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from environment variables. Raises SettingsError, which names every variable in error."""
        fields = {str(field.alias): field for field in cls.model_fields.values()}
        written = {name: environment[name] for name in fields if _trimmed(environment.get(name, ""))}
        # The blanks of several secrets are removed where the secrets are separated.
        present = {name: value if name == PREVIOUS else _trimmed(value) for name, value in written.items()}
        # A previous secret is only needed for sessions from before the last change: the others work without it.
        unresolved = sorted(name for name, value in present.items() if _is_unresolved(value) and name != PREVIOUS)
        if unresolved:
            raise SettingsError(f"{', '.join(unresolved)}: the reference to the Key Vault was not resolved")
        quoted = [name for name, value in present.items() if name not in MAY_BE_QUOTED and _is_quoted(value)]
        if quoted:
            raise SettingsError(f"{', '.join(quoted)}: the value is in quotes: remove them")
        try:
            settings = cls.model_validate(present)
        except ValidationError as error:
            raise SettingsError("; ".join(_faults(error))) from None
        if any(_is_unresolved(secret.get_secret_value()) for secret in settings.nextauth_secret_previous):
            log.error("%s: the reference to the Key Vault was not resolved and is ignored", PREVIOUS)
            resolved = [one for one in settings.nextauth_secret_previous if not _is_unresolved(one.get_secret_value())]
            settings = settings.model_copy(update={"nextauth_secret_previous": tuple(resolved)})
        for name in SECRETS:
            if name in present and present[name] != written[name]:
                _warn_of_blanks(name)
        secret = written.get("NEXTAUTH_SECRET", "")
        if secret == _trimmed(secret):
            return settings
        previous = (*settings.nextauth_secret_previous, SecretStr(secret))
        return settings.model_copy(update={"nextauth_secret_previous": previous})


def _is_unresolved(value: str) -> bool:
    return _trimmed(value).lower().startswith(UNRESOLVED.lower())


def _is_quoted(value: str) -> bool:
    return value[0] in QUOTES or value[-1] in QUOTES


def _faults(error: ValidationError) -> list[str]:
    """Return the first error of each variable, with its name and without its value."""
    faults: dict[str, str] = {}
    for fault in error.errors(include_input=False):
        name = next((str(part) for part in fault["loc"]), "settings")
        faults.setdefault(name, f"{name}: {fault['msg'].removeprefix('Value error, ')}")
    return list(faults.values())
