"""How many requests the API server has answered, read off its own metrics."""

import re

from shared.cluster.client import Cluster

_SERIES = re.compile(r"^apiserver_request_total\{[^}]*\} (?P<count>[0-9.e+]+)$", re.MULTILINE)


async def requests_so_far(cluster: Cluster) -> float:
    """Of all clients together; a watch counts when it ends."""
    metrics = (await cluster.request("GET", "/metrics", accept="text/plain")).decode()
    return sum(float(series["count"]) for series in _SERIES.finditer(metrics))
