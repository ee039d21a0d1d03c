"""The Gemini key, and each model of the chain: asked for its description, which costs nothing."""

from image_core.model.chain import ModelChain
from image_core.settings import Settings
from operations.doctor.finding import Finding

SECONDS = 10.0


async def look(settings: Settings) -> list[Finding]:
    """One line a model. A key that is refused is said once."""
    chain = ModelChain(settings)
    try:
        probed = await chain.probe(SECONDS)
    finally:
        await chain.close()
    states = {reason for _, ok, reason in probed if not ok}
    if len(states) == 1 and len([each for each in probed if not each[1]]) == len(probed):
        (state,) = states
        if state in {"status 400", "status 401", "status 403"}:
            return [
                Finding("GEMINI_API_KEY", f"refused ({state})", "get a valid one at https://aistudio.google.com/apikey")
            ]
        if state in {"unreachable", "timeout"}:
            return [Finding("Gemini", f"not reachable ({state})", "look at GOOGLE_GEMINI_BASE_URL and at the network")]
    return [_model(name, ok=ok, reason=reason) for name, ok, reason in probed]


def _model(name: str, *, ok: bool, reason: str) -> Finding:
    if ok:
        return Finding(f"model {name}", "alive")
    if reason == "status 404":
        return Finding(
            f"model {name}", "gone (404)", "take it out of GEMINI_MODELS: each instance asks it in vain once an hour"
        )
    return Finding(f"model {name}", reason, "see https://status.cloud.google.com, or try again")
