"""Timer triggers: NCRONTAB with seconds, or a time span; one run at a time."""

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta

from azure.functions.timer import TimerRequest
from croniter import croniter

from local.functions.application import CannotServe, Function, resolved
from local.functions.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions")

FIELDS_WITHOUT_SECONDS = 5
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})")


class Schedule:
    """When a timer is due."""

    def __init__(self, expression: str) -> None:
        self._span: timedelta | None = None
        self._cron = ""
        if span := _SPAN.fullmatch(expression.strip()):
            days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
            self._span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            return
        fields = expression.split()
        # The host's NCRONTAB has its seconds first, and does without them too.
        self._cron = " ".join(["0", *fields] if len(fields) == FIELDS_WITHOUT_SECONDS else fields)
        if not croniter.is_valid(self._cron, second_at_beginning=True):
            raise CannotServe(f"the timer expression {expression!r} is not valid")

    def after(self, moment: datetime) -> datetime:
        """The next time it is due."""
        if self._span is not None:
            return moment + self._span
        following: datetime = croniter(self._cron, moment, second_at_beginning=True).get_next(datetime)
        return following


async def run_timer(function: Function, invoker: Invoker) -> None:
    """Run it whenever it is due, for ever."""
    schedule = Schedule(resolved(function.trigger["schedule"]))
    due = datetime.now(UTC) if function.trigger.get("runOnStartup") else schedule.after(datetime.now(UTC))
    while True:
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        late = datetime.now(UTC) - due > timedelta(seconds=1)
        try:
            await invoker.invoke(function, TimerRequest(past_due=late))
        except InvocationFailed:
            log.info("%s is tried again when it is next due", function.name)
        due = schedule.after(max(due, datetime.now(UTC)))
