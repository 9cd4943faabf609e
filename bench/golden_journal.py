"""Keep a part of a finished demo's journal as a golden one: old journals open for ever.

    python -m bench.golden_journal DATA_FOLDER NAME

writes ``tests/golden/journals/NAME.jsonl.gz`` (rows as they stand: writer, pos, stream,
stream_seq, type, version, at, body) and ``NAME.json`` (what they fold to). Taken along are
the catalogue, configurations, layers, proposals and policies, and three runs: the last,
one with a rescue and one with drained pairs.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
GOLDEN = REPOSITORY / "tests" / "golden" / "journals"
KEPT = (
    "playbook/healthcare", "config/", "overlay/", "experiment/", "kill", "proposal/", "policy/",
)  # fmt: skip
ROWS = (
    "select writer, pos, stream, stream_seq, type, version, at, body from event"
    " where stream = ? order by stream_seq"
)


def main(folder: str, name: str) -> None:
    """Write the two files."""
    sys.path.insert(0, str(REPOSITORY / "tests" / "golden"))
    from fold_journal import fold

    db = sqlite3.connect(f"file:{folder}/journal.db?mode=ro", uri=True)
    streams = [s for (s,) in db.execute("select distinct stream from event order by stream")]
    kept = [s for s in streams if s.startswith(KEPT)] + chosen(db)
    rows = [list(row) for stream in kept for row in db.execute(ROWS, (stream,))]
    db.close()
    GOLDEN.mkdir(exist_ok=True)
    with gzip.open(GOLDEN / f"{name}.jsonl.gz", "wt", encoding="utf-8", compresslevel=9) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    told = json.dumps(fold(rows), indent=1, sort_keys=True)
    (GOLDEN / f"{name}.json").write_text(told + "\n", encoding="utf-8")
    print(f"{len(rows)} events of {len(kept)} streams")


def chosen(db: sqlite3.Connection) -> list[str]:
    """Three runs of the cohort that show the most between them."""
    runs = [
        f"run/{run}"
        for (run,) in db.execute(
            "select run from run where playbook = 'healthcare/patient_cohort' order by run desc"
        )
    ]

    def first(mark: str) -> str:
        like = f"%{mark}%"
        sql = "select 1 from event where stream = ? and type = 'each.cut' and body like ?"
        return next(r for r in runs if db.execute(sql, (r, like)).fetchone())

    wanted: list[Any] = [runs[0], first('"kind":"rescue"'), first('"drained":true')]
    return list(dict.fromkeys(wanted))


if __name__ == "__main__":
    main(*sys.argv[1:])
