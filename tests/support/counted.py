"""What the metrics say, as Prometheus would read them."""

from prometheus_client import REGISTRY


def counted(metric: str, **labels: str) -> float:
    """0 for what was never counted."""
    return REGISTRY.get_sample_value(metric, labels) or 0.0
