"""What a caller has spent: the answer of `GET /api/usage`."""

from typing import Literal

from pydantic import Field

from image_core.api.wire.base import Absent, Time, Wire, absent
from image_core.billing import spending
from image_core.billing.entries import Sum


class ModelSpending(Wire):
    """The calls and the cost of one model."""

    model: str
    images: int
    calls: int
    cost_usd: float
    unpriced_calls: int
    estimated_usd: float


class Spending(Wire):
    """The sum of a day or a month."""

    since: str = Field(json_schema_extra={"format": "date-time"})
    images: int = Field(description="Number of images that were made.")
    calls: int = Field(description="Number of calls of a model, with those that made no image.")
    cost_usd: float
    unpriced_calls: int = Field(
        description="Number of calls whose cost is not known: the model has no price, the call was aborted, or its "
        "process died. They are not in `costUsd`."
    )
    estimated_usd: float = Field(description="What budgets count for the calls of unknown cost, in US dollars.")
    by_model: list[ModelSpending]

    @classmethod
    def of(cls, day: str, summed: Sum) -> "Spending":
        """Return the wire form. `day`: the first day of the sum, as `2026-01-31`."""
        return cls(
            since=f"{day}T00:00:00.000Z",
            images=summed.images,
            calls=summed.calls,
            cost_usd=summed.usd,
            unpriced_calls=summed.unpriced,
            estimated_usd=summed.estimated_usd,
            by_model=[
                ModelSpending(
                    model=model,
                    images=each.images,
                    calls=each.calls,
                    cost_usd=each.usd,
                    unpriced_calls=each.unpriced,
                    estimated_usd=each.estimated_usd,
                )
                for model, each in sorted(summed.models.items())
            ],
        )


class Budget(Wire):
    """The caller's budget, and what is left of it."""

    daily_usd: float | None = Field(description="The budget of a day, in US dollars; null if only the month has one.")
    running_usd: float = Field(description="The expected cost of running generations, in US dollars.")
    remaining_usd: float = Field(
        description="What is left of the day or of the month, whichever is less, in US dollars."
    )
    resets_at: Time = Field(description="When the budget starts again.")
    monthly_usd: float | Absent = absent("In a month.")
    monthly_remaining_usd: float | Absent = absent("What is left of the month's.")
    month_resets_at: Time | Absent = absent("When the next month begins.")

    @classmethod
    def of(cls, report: spending.Report) -> "Budget | None":
        """Return the wire form; None if there is no budget."""
        left = [each for each in (report.daily_left_usd, report.monthly_left_usd) if each is not None]
        if not left:
            return None
        monthly = report.budgets.monthly_usd
        return cls(
            daily_usd=report.budgets.daily_usd,
            running_usd=report.running_usd,
            remaining_usd=min(left),
            resets_at=report.day_ends,
            monthly_usd=monthly,
            monthly_remaining_usd=report.monthly_left_usd,
            month_resets_at=None if monthly is None else report.month_ends,
        )


class UsageReport(Wire):
    """What the caller has spent."""

    currency: Literal["USD"]
    today: Spending
    month: Spending
    budget: Budget | None

    @classmethod
    def of(cls, report: spending.Report) -> "UsageReport":
        """Return the wire form."""
        return cls(
            currency="USD",
            today=Spending.of(report.day, report.today),
            month=Spending.of(report.month, report.this_month),
            budget=Budget.of(report),
        )
