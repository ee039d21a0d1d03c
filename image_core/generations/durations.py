"""How long a generation is likely to take: the recent median of its model and size."""

from collections import defaultdict, deque
from collections.abc import Callable
from statistics import median

from image_core.models.generated import Options

TYPICAL_SECONDS = {None: 25, "1K": 25, "2K": 30, "4K": 60}
"""What the service usually takes, by the size of the image: used until this process has completed a generation."""

RECENT = 21
"""Number of generations of which the median is taken."""


class Durations:
    """Durations in this process. `first_model` returns the model that a request with these options is sent to first."""

    def __init__(self, first_model: Callable[[Options], str]) -> None:
        self._first_model = first_model
        self._recent: dict[tuple[str, str | None], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def add(self, model: str, size: str | None, seconds: float) -> None:
        """Note that `model` has made an image of `size` in `seconds`."""
        self._recent[model, size].append(seconds)

    def expected(self, options: Options) -> int:
        """Return the seconds that a request with these options is likely to take, at least 1."""
        return self.expected_of(self._first_model(options), options.image_size)

    def expected_of(self, model: str, size: str | None = None) -> int:
        """Return the seconds that `model` is likely to take, at least 1."""
        recent = self._recent.get((model, size))
        return max(1, round(median(recent))) if recent else TYPICAL_SECONDS.get(size, 25)
