"""The body of every error."""

from pydantic import Field

from image_core.api.wire.attempts import Usage
from image_core.api.wire.base import Absent, Wire, absent
from image_core.errors import STATUS_BY_CODE, ImageError
from image_core.generations.failure import Failure


class ErrorBody(Wire):
    """The body of every error."""

    error: str = Field(description="A message for people.")
    code: str = Field(
        description="The kind of error, for programs.", json_schema_extra={"enum": [*sorted(STATUS_BY_CODE)]}
    )
    retryable: bool = Field(description="Whether the same request can succeed later.")
    details: str | Absent = absent("More, for people.")
    field: str | Absent = absent("The part of the request that is wrong.")
    image_index: int | Absent = absent("The position of the image that is wrong, from 0.")
    text: str | None = Field(None, description="The text that the model returned instead of an image.")
    finish_reason: str | None = Field(None, description="Why the model stopped, as its service names it.")
    usage: Usage | None = Field(
        None, description="The usage of a canceled generation; null if the service counted nothing."
    )
    daily_usd: float | Absent = absent("The budget of a day, in US dollars.")
    monthly_usd: float | Absent = absent("The budget of a month, in US dollars, where that is used up.")
    spent_usd: float | Absent = absent("What was spent of it.")
    running_usd: float | Absent = absent("What running generations are expected to cost.")
    resets_at: str | Absent = absent("When the next day or month begins.", format="date-time")
    id: str | Absent = absent("The id of the generation, where it has a record.")

    @classmethod
    def of(cls, error: ImageError | Failure, record_id: str | None = None) -> "ErrorBody":
        """Return the wire form of an error, or of a stored failure. Fields that are not set are omitted."""
        fields = error.body()
        return cls.model_validate(fields if record_id is None else {**fields, "id": record_id})
