"""The metrics of this process, as an OpenTelemetry SDK that a host brings sees them."""

from functools import cache

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

Labels = tuple[tuple[str, object], ...]


@cache
def metric_reader() -> InMemoryMetricReader:
    """Install the SDK, which is possible once in a process, and return its reader."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


def metric_values() -> dict[tuple[str, Labels], float]:
    """Return the sums of counters and of histograms since the start of the process, by name and sorted labels."""
    read = metric_reader().get_metrics_data()
    return {
        (metric.name, tuple(sorted(dict(point.attributes or {}).items()))): float(
            getattr(point, "value", 0) or getattr(point, "sum", 0)
        )
        for resource in (read.resource_metrics if read is not None else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
