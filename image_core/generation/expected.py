"""How long a generation is likely to take: the recent median for its model and size."""

from collections import defaultdict, deque
from statistics import median

from image_core.generated import Options

TYPICAL_SECONDS = {None: 25, "1K": 25, "2K": 30, "4K": 60}
"""Before this process has seen any: what the service usually takes."""

RECENT = 21


class Expected:
    """What this process has seen lately."""

    def __init__(self, first_model: str) -> None:
        self._first_model = first_model
        self._seen: dict[tuple[str, str | None], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def saw(self, options: Options, seconds: float) -> None:
        self._seen[self._key(options)].append(seconds)

    def seconds(self, options: Options) -> int:
        """At least 1."""
        seen = self._seen.get(self._key(options))
        return max(1, round(median(seen))) if seen else TYPICAL_SECONDS.get(options.image_size, 25)

    def _key(self, options: Options) -> tuple[str, str | None]:
        return options.model or self._first_model, options.image_size
