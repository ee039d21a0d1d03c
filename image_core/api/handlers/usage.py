"""`GET /api/usage`: what the caller has spent, and what is left."""

from typing import Any

from image_core.api.http import Request, Response, json_response
from image_core.auth.user import User
from image_core.billing.spending import Report, Spending
from image_core.storage.ledger import Sum


class UsageHandler:
    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    async def get(self, request: Request, user: User) -> Response:  # noqa: ARG002 - a handler's signature
        return json_response(200, to_wire(await self._spending.report(user)))


def to_wire(report: Report) -> dict[str, Any]:
    """The body of `GET /api/usage`."""

    def numbers(summed: Sum) -> dict[str, Any]:
        return {
            "images": summed.images,
            "calls": summed.calls,
            "costUsd": summed.usd,
            "unpricedCalls": summed.unpriced,
            "estimatedUsd": summed.estimated_usd,
        }

    def span(since: str, summed: Sum) -> dict[str, Any]:
        models = [{"model": model, **numbers(summed.models[model])} for model in sorted(summed.models)]
        return {"since": f"{since}T00:00:00.000Z", **numbers(summed), "byModel": models}

    budget: dict[str, Any] | None = None
    left = [each for each in (report.daily_left_usd, report.monthly_left_usd) if each is not None]
    if left:
        budget = {
            "dailyUsd": report.budgets.daily_usd,
            "runningUsd": report.running_usd,
            "remainingUsd": min(left),
            "resetsAt": report.day_ends,
        }
    if budget is not None and report.budgets.monthly_usd is not None:
        budget |= {
            "monthlyUsd": report.budgets.monthly_usd,
            "monthlyRemainingUsd": report.monthly_left_usd,
            "monthResetsAt": report.month_ends,
        }
    return {
        "currency": "USD",
        "today": span(report.day, report.today),
        "month": span(report.month, report.this_month),
        "budget": budget,
    }
