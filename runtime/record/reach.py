"""What a statement reaches: nothing outside the engine's own tables, whoever sends it.

The embedded engine runs with the process's rights, so a statement could read any file and
open any address. Table functions, engines and clauses that do so are refused by name, in
whatever quotes the name stands. Texts and comments are passed over just as the engine's own
lexer does, so that a name cannot hide behind them.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"(?P<text>'(?:\\.|''|[^'\\])*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<comment>--[^\n]*|\#[! ][^\n]*|/\*.*?\*/)"
    r'|"(?P<double>(?:\\.|""|[^"\\])*)"'
    r"|`(?P<back>(?:\\.|``|[^`\\])*)`",
    re.DOTALL,
)
_FUNCTIONS: Final = (
    "file|fileCluster|url|urlCluster|http|s3|s3Cluster|gcs|cosn|oss|hdfs|hdfsCluster"
    "|azureBlobStorage|azureBlobStorageCluster|remote|remoteSecure|cluster|clusterAllReplicas"
    "|mysql|postgresql|mongodb|redis|sqlite|jdbc|odbc|executable|executablePool|python|input"
    "|arrowFlight|ytsaurus|prometheusQuery\\w*|timeSeries\\w*|deltaLake\\w*|hudi\\w*|iceberg\\w*"
    "|paimon\\w*|dictionary|dictGet\\w*|loop|merge|catboostEvaluate|joinGet\\w*"
)
_ENGINES: Final = (
    "file|url|s3\\w*|gcs|hdfs|azure\\w*|mysql|postgresql|materialized\\w+sql|mongodb|redis|sqlite"
    "|jdbc|odbc|executable\\w*|distributed|dictionary|kafka|rabbitmq|nats|deltaLake\\w*|hudi"
    "|iceberg\\w*|paimon\\w*|embeddedRocksDB|python|arrowFlight|datalake\\w*"
)
_REACHES: Final = re.compile(
    rf"\b(?P<function>{_FUNCTIONS})\s*\("
    rf"|\bENGINE\s*=?\s*(?P<engine>{_ENGINES})\b"
    r"|\b(?P<clause>INTO\s+OUTFILE|FROM\s+INFILE"
    r"|(?:CREATE|REPLACE|ATTACH)\s+(?:OR\s+REPLACE\s+)?(?:DICTIONARY|FUNCTION|NAMED\s+COLLECTION)"
    r"|(?:BACKUP|RESTORE|ATTACH)\s+(?:TABLE|DATABASE|ALL|TEMPORARY|PART|PARTITION)"
    r"|DISK\s*=|storage_policy\s*=|SYSTEM\s+(?:SHUTDOWN|KILL|SUSPEND|START\s+LISTEN|LOAD))",
    re.IGNORECASE,
)


def reached(sql: str) -> str | None:
    """Return what of the outside a statement names, or None.

    >>> reached("SELECT * FROM `file`('/etc/passwd')")
    'file()'
    >>> reached("SELECT 'file(' -- url(")
    """
    found = _REACHES.search(_TOKEN.sub(_bare, sql))
    if found is None:
        return None
    if function := found["function"]:
        return f"{function}()"
    if engine := found["engine"]:
        return f"ENGINE = {engine}"
    return " ".join(found["clause"].split())


def _bare(token: re.Match[str]) -> str:
    """Return a quoted name without its quotes, and nothing of a text or a comment."""
    if token["text"] is not None:
        return "''"
    if token["comment"] is not None:
        return " "
    name = token["double"] if token["double"] is not None else token["back"]
    return name if re.fullmatch(r"\w+", name) else '""'
