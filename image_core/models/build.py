"""Build the chain of models from the settings, with Gemini as the provider."""

import random as stdlib_random
from dataclasses import dataclass

from image_core.clock import Clock
from image_core.models.availability import Availability
from image_core.models.chain import ModelChain
from image_core.models.gemini.client import Gemini
from image_core.models.probe import ModelProbe, Probed
from image_core.settings import Settings


@dataclass(frozen=True, slots=True)
class Models:
    """The chain of models of a process, and what checks it."""

    chain: ModelChain
    availability: Availability
    checks: ModelProbe

    async def describe(self, seconds: float) -> list[Probed]:
        """Probe every model of the chain by its description, which is free, for at most `seconds`."""
        return await self.checks.describe_all(self.chain.models(), seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self.chain.close()


def build_models(settings: Settings, clock: Clock | None = None, random: stdlib_random.Random | None = None) -> Models:
    """Build the chain. No connection is opened, and google-genai is not imported, before the first call."""
    clock = clock or Clock()
    key = settings.gemini_api_key
    provider = Gemini(None if key is None else key.get_secret_value(), settings.gemini_base_url, clock)
    availability = Availability(clock)
    return Models(
        ModelChain(provider, settings.gemini_models, availability, clock, random),
        availability,
        ModelProbe(provider, availability, gateway=settings.gemini_base_url is not None),
    )
