"""Which collection of points a data folder has: Edge's in the folder, or a server's."""

from __future__ import annotations

from runtime.data.folder import DataFolder
from runtime.record.access import RecordSettings
from runtime.record.embed import WORDS, Embedder
from runtime.record.qdrant import EdgePoints, Points
from runtime.record.qdrant_server import ServerPoints


def open_points(folder: DataFolder, settings: RecordSettings, embedder: Embedder) -> Points:
    """Return the collection of an embedder: in the data folder, or on the server of a URL.

    Another embedder has another collection, filled from the journal's start, and so has
    another way to make a text into words (`WORDS`).
    """
    name = f"record-{WORDS}-" + "".join(c if c.isalnum() else "-" for c in embedder.name)
    if settings.qdrant is None:
        return EdgePoints(folder.qdrant / name)
    from qdrant_client import QdrantClient

    return ServerPoints(QdrantClient(url=settings.qdrant, api_key=settings.qdrant_key), name)
