"""Check the Gemini key, the configured model names, and each model of the chain.

A model's description costs nothing but does not show that a quota is used up or that the service refuses the account.
So each model is also called, for one token of text: less than a hundredth of a cent.
"""

from collections.abc import Sequence

from image_core.clock import Clock
from image_core.models import catalog
from image_core.models.build import Models
from image_core.models.probe import Probed, State
from operations.doctor.finding import Finding

TIMEOUT_SECONDS = 10.0
KEY_FIX = "create a valid key at https://aistudio.google.com/apikey and set GEMINI_API_KEY"


async def check(models: Models, configured: Sequence[str], clock: Clock) -> list[Finding]:
    """Return a finding for each name that is or will soon be retired, and one for each model or for the refused key.

    `configured` are the names in GEMINI_MODELS. `models` are closed.
    """
    try:
        probed = [
            await models.checks.call(each.model, TIMEOUT_SECONDS) if each.state in {State.OK, State.UNKNOWN} else each
            for each in await models.describe(TIMEOUT_SECONDS)
        ]
    finally:
        await models.close()
    return [*_retirements(configured, clock), *_models(probed)]


def _retirements(configured: Sequence[str], clock: Clock) -> list[Finding]:
    today = clock.now().date()
    return [
        Finding(
            "GEMINI_MODELS",
            f"{each.name} {'was shut down' if each.on <= today else 'will be shut down'} on {each.on}",
            f"replace it by {each.successor}",
        )
        for each in catalog.retiring(configured, today)
    ]


def _models(probed: list[Probed]) -> list[Finding]:
    states = {each.state for each in probed}
    if states == {State.KEY_REFUSED}:
        return [Finding("GEMINI_API_KEY", f"refused ({probed[0].reason})", KEY_FIX)]
    if states == {State.DOWN} and {each.reason for each in probed} <= {"unreachable", "timeout"}:
        fix = "check GOOGLE_GEMINI_BASE_URL and the network"
        return [Finding("Gemini", f"cannot be reached ({probed[0].reason})", fix)]
    return [_model(each) for each in probed]


def _model(probed: Probed) -> Finding:
    what = f"model {probed.model}"
    if probed.state is State.OK:
        unknown = (
            ""
            if probed.model in catalog.MODELS
            else " (not in the catalog: budgets count it as the most expensive model)"
        )
        return Finding(what, f"answers{unknown}")
    if probed.state is State.GONE:
        return Finding(what, "gone (404)", "remove it from GEMINI_MODELS")
    if probed.state is State.NO_QUOTA:
        fix = "wait, or raise the quota of the Google account (https://aistudio.google.com/usage)"
        return Finding(what, probed.reason, fix)
    if probed.state is State.ACCOUNT_REFUSED:
        fix = "check the location and the billing of the Google account that GEMINI_API_KEY belongs to"
        return Finding(what, f"Gemini refuses this account ({probed.reason})", fix)
    if probed.state is State.KEY_REFUSED:
        return Finding(what, f"the key is refused ({probed.reason})", KEY_FIX)
    return Finding(what, probed.reason, "read https://status.cloud.google.com, or try again later")
