"""The metrics, for a scraper."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from control_plane.api.guards import requires
from control_plane.metrics import Metrics


@get("/metrics", guards=[requires("viewer")], operation_id="metrics", tags=["health"],
     media_type="text/plain")  # fmt: skip
async def scrape(
    request: Request[Any, Any, Any], metrics: NamedDependency[Metrics]
) -> Response[bytes]:
    """Return every metric as Prometheus reads them, or as OpenMetrics where that is accepted."""
    body, content_type = await metrics.text(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})
