"""Whether the API works: the answer of `GET /api/health`."""

from typing import Literal

from pydantic import Field

from image_core.api.wire.base import Absent, Wire, absent


class Dependency(Wire):
    """The state of one dependency."""

    status: Literal["ok", "degraded", "unknown", "down"] = Field(
        description="`degraded`: it works, but not at its best. `unknown`: only a generation would show it."
    )
    latency_ms: int
    code: str | Absent = absent("Why it is down.")
    containers: dict[str, str] | Absent = absent("Of database and storage: each container, `ok` or `missing`.")
    mode: str | Absent = absent("Of the session: how it is verified.")
    models: dict[str, str] | Absent = absent("Of the model: each of the chain, `ok` or why not.")
    retired: dict[str, str] | Absent = absent("Models that are shut down, and since when.")
    retiring: dict[str, str] | Absent = absent(
        "Configured names that are shut down, or will be within 30 days, and when."
    )


class Health(Wire):
    """Whether the API works."""

    status: Literal["ok", "degraded", "down"]
    version: str
    dependencies: dict[str, Dependency] | Absent = absent("With `deep=1`.")
