"""The limits of spending, as the settings give them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budgets:
    """US dollars of a day and of a month; None where there is no limit."""

    daily_usd: float | None
    monthly_usd: float | None


NO_BUDGETS = Budgets(None, None)


@dataclass(frozen=True, slots=True)
class UserLimits:
    """How many generations one user may run at once, and how much money they may cost."""

    max_concurrent: int
    budgets: Budgets


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """The limits of each user, by the user's id, and the budgets of all users together."""

    of_user: Callable[[str], UserLimits]
    of_all_users: Budgets
