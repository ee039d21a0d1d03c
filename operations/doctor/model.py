"""The Gemini key, the configured names, and each model of the chain: its description, then the smallest call there is.

A description costs nothing and does not show a quota that is used up or an account that is not served. The call does, for
less than a hundredth of a cent.
"""

from image_core.clock import Clock
from image_core.models import catalog
from image_core.models.chain import ModelChain
from image_core.models.probe import Probed, State
from image_core.settings import Settings
from operations.doctor.finding import Finding

SECONDS = 10.0
KEY_FIX = "get a valid one at https://aistudio.google.com/apikey"


async def look(settings: Settings, clock: Clock | None = None) -> list[Finding]:
    """One line for a name that is retired, or will be within the month, and one for each model. A refused key is one line."""
    clock = clock or Clock()
    chain = ModelChain(settings, clock)
    try:
        probed = [
            await chain.tried(each.model, SECONDS) if each.state in {State.OK, State.UNKNOWN} else each
            for each in await chain.probe(SECONDS)
        ]
    finally:
        await chain.close()
    return [*_retirements(settings, clock), *_models(probed)]


def _retirements(settings: Settings, clock: Clock) -> list[Finding]:
    today = clock.now().date()
    return [
        Finding(
            "GEMINI_MODELS",
            f"{each.name} {'was shut down' if each.on <= today else 'will be shut down'} on {each.on}",
            f"put {each.successor} in its place",
        )
        for each in catalog.retiring(settings.gemini_models, today)
    ]


def _models(probed: list[Probed]) -> list[Finding]:
    states = {each.state for each in probed}
    if states == {State.KEY_REFUSED}:
        return [Finding("GEMINI_API_KEY", f"refused ({probed[0].reason})", KEY_FIX)]
    if states == {State.DOWN} and {each.reason for each in probed} <= {"unreachable", "timeout"}:
        fix = "look at GOOGLE_GEMINI_BASE_URL and at the network"
        return [Finding("Gemini", f"not reachable ({probed[0].reason})", fix)]
    return [_model(each) for each in probed]


def _model(probed: Probed) -> Finding:
    what = f"model {probed.model}"
    if probed.state is State.OK:
        unknown = "" if probed.model in catalog.MODELS else " (not in the catalog: it counts as the dearest in budgets)"
        return Finding(what, f"alive{unknown}")
    if probed.state is State.GONE:
        return Finding(what, "gone (404)", "take it out of GEMINI_MODELS: each instance asks it in vain once an hour")
    if probed.state is State.NO_QUOTA:
        fix = "wait, or raise the quota of the Google account (https://aistudio.google.com/usage)"
        return Finding(what, probed.reason, fix)
    if probed.state is State.ACCOUNT_REFUSED:
        fix = "check the place and the billing of the Google account that GEMINI_API_KEY belongs to"
        return Finding(what, f"the service does not serve this account ({probed.reason})", fix)
    if probed.state is State.KEY_REFUSED:
        return Finding(what, f"the key is refused ({probed.reason})", KEY_FIX)
    return Finding(what, probed.reason, "see https://status.cloud.google.com, or try again")
