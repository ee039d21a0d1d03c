"""`GET /api/usage`: what the caller has spent, and what is left."""

from image_core.api.handlers.ports import SpendingReports
from image_core.api.http import Request, Response, json_response
from image_core.api.wire.usage import UsageReport
from image_core.auth.user import User


class GetUsage:
    """Answers with the sums of the ledger."""

    def __init__(self, spending: SpendingReports) -> None:
        self._spending = spending

    async def handle(self, request: Request, user: User) -> Response:  # noqa: ARG002 - UserHandler
        """Return the user's sums of today and this month."""
        return json_response(200, UsageReport.of(await self._spending.report(user)).to_wire())
