"""How long a generation is likely to take: the recent median for its model and size."""

from collections import defaultdict, deque
from collections.abc import Callable
from statistics import median

from image_core.models.generated import Options

TYPICAL_SECONDS = {None: 25, "1K": 25, "2K": 30, "4K": 60}
"""Before this process has seen any: what the service usually takes."""

RECENT = 21


class Expected:
    """What this process has seen lately. `first_model` gives the model that a request with these options would be sent to."""

    def __init__(self, first_model: Callable[[Options], str]) -> None:
        self._first_model = first_model
        self._seen: dict[tuple[str, str | None], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def saw(self, model: str, size: str | None, seconds: float) -> None:
        """A generation by `model` has ended."""
        self._seen[model, size].append(seconds)

    def seconds(self, options: Options) -> int:
        """Of a request with these options; at least 1."""
        return self.seconds_of(self._first_model(options), options.image_size)

    def seconds_of(self, model: str, size: str | None = None) -> int:
        """Of one model; at least 1."""
        seen = self._seen.get((model, size))
        return max(1, round(median(seen))) if seen else TYPICAL_SECONDS.get(size, 25)
