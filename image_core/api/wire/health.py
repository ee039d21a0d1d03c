"""Whether the API works: the answer of `GET /api/health`."""

from typing import Literal

from pydantic import Field

from image_core.api.wire.base import Absent, Wire, absent


class Dependency(Wire):
    """The state of one dependency."""

    status: Literal["ok", "degraded", "unknown", "down"] = Field(
        description="`degraded`: it works with restrictions. `unknown`: only a generation would show whether it works."
    )
    latency_ms: int
    code: str | Absent = absent("Why it is down.")
    containers: dict[str, str] | Absent = absent("Of database and storage: each container, `ok` or `missing`.")
    mode: str | Absent = absent("Of the session: how it is verified.")
    models: dict[str, str] | Absent = absent(
        "For `model`: each model of the chain, with `ok` or the reason why it is not available."
    )
    retired: dict[str, str] | Absent = absent("Models that were shut down, with the date.")
    retiring: dict[str, str] | Absent = absent(
        "Configured models that are shut down, or will be within 30 days, with the date."
    )


class Health(Wire):
    """Whether the API works."""

    status: Literal["ok", "degraded", "down"]
    version: str
    dependencies: dict[str, Dependency] | Absent = absent("Only with `deep=1`.")
