"""Timer triggers: NCRONTAB with seconds, or a time span; one run at a time."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from azure.functions.timer import TimerRequest
from croniter import croniter

from local.functions_host.app import CannotServe, Function, parse_time_span, resolve_settings
from local.functions_host.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions_host")

FIELDS_WITHOUT_SECONDS = 5


class Schedule:
    """When a timer is due."""

    def __init__(self, expression: str) -> None:
        self._span = parse_time_span(expression)
        fields = expression.split()
        # NCRONTAB's optional field of seconds comes first.
        self._cron = " ".join(["0", *fields] if len(fields) == FIELDS_WITHOUT_SECONDS else fields)
        if self._span is None and not croniter.is_valid(self._cron, second_at_beginning=True):
            raise CannotServe(f"the timer expression {expression!r} is not valid")

    def after(self, moment: datetime) -> datetime:
        """Return the next time after `moment`."""
        if self._span is not None:
            return moment + self._span
        following: datetime = croniter(self._cron, moment, second_at_beginning=True).get_next(datetime)
        return following


async def run_timer(function: Function, invoker: Invoker) -> None:
    """Invoke `function` each time it is due, until cancelled."""
    schedule = Schedule(resolve_settings(function.trigger["schedule"]))
    due = datetime.now(UTC) if function.trigger.get("runOnStartup") else schedule.after(datetime.now(UTC))
    while True:
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        late = datetime.now(UTC) - due > timedelta(seconds=1)
        try:
            await invoker.invoke(function, TimerRequest(past_due=late))
        except InvocationFailed:
            log.info("%s failed and runs again when it is next due", function.name)
        due = schedule.after(max(due, datetime.now(UTC)))
