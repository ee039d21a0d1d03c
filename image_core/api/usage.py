"""`GET /api/usage`: what the caller has spent, and what is left."""

from image_core.api.http import Request, Response, json_response
from image_core.generation.spend import Spending, to_wire
from image_core.user import User


class UsageResource:
    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    async def get(self, request: Request, user: User) -> Response:  # noqa: ARG002 - a handler's signature
        return json_response(200, to_wire(await self._spending.report(user)))
