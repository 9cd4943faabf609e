"""Files of journals that earlier versions wrote open in this one, whoever opens them first."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal, SqliteReader
from runtime.run.events import RunResumed, RunSubmitted, StepHeld

GOLDEN = Path(__file__).parents[1] / "golden" / "journals" / "cohort-1.jsonl.gz"
FIRST_DDL = """
create table writer (
  writer integer primary key autoincrement, started_at real not null
);
create table event (
  writer integer not null, pos integer not null, stream text not null,
  stream_seq integer not null, type text not null, version integer not null,
  at real not null, body text not null
);
create unique index event_by_pos on event (writer, pos);
create unique index event_by_stream on event (stream, stream_seq);
create index event_product on event (type) where type = 'product.published';
create table run (
  run text primary key, playbook text not null, version text not null, number integer not null,
  state text not null, submitted_at real not null, started_at real, ended_at real,
  actor text not null, key text unique, system integer not null, length integer not null
) without rowid;
create index run_live on run (state) where ended_at is null;
create index run_by_playbook on run (playbook, run);
"""
"""The first that there was: what came later is made when a writer opens the file."""
RUN = "01a20dd6830e876b355e6521081bd4b2"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The file of the golden journal, as the first version would have written it."""
    with gzip.open(GOLDEN, "rt", encoding="utf-8") as lines:
        rows: list[list[Any]] = [json.loads(line) for line in lines]
    db = sqlite3.connect(tmp_path / "journal.db")
    db.executescript(FIRST_DDL)
    writers = [(writer, 1.0) for writer in sorted({row[0] for row in rows})]
    db.executemany("insert into writer values (?, ?)", writers)
    db.executemany("insert into event values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    db.execute(
        "insert into run values (?, 'healthcare/patient_cohort', 'v', 1, 'paused', 1.0, 2.0, null,"
        " 'me', null, 0, 7)",
        (RUN,),
    )
    db.commit()
    db.close()
    return tmp_path / "journal.db"


def test_an_old_file_is_read_by_one_who_may_not_change_it(old: Path) -> None:
    reader = SqliteReader.open(old)
    row = reader.run(RUN)
    assert row is not None
    assert (row.state, row.length) == ("paused", reader.length(f"run/{RUN}"))
    assert not reader.was_held(RUN)
    assert reader.forks(RUN) == []
    reader.close()


def test_an_old_file_goes_on_where_it_stands_and_answers_as_quickly(old: Path) -> None:
    journal = SqliteJournal(old, 9.0)
    length = journal.length(f"run/{RUN}")
    branch = RunSubmitted("p", "v", 1, {}, "me", forked={"run": RUN, "seq": 3})
    journal.append([
        Append(f"run/{RUN}", length, 9.0, (RunResumed("me"), StepHeld("a", 9.9, "22-6", "c"))),
        Append("run/new", 0, 9.0, (branch,)),
    ])  # fmt: skip
    row = journal.run(RUN)
    assert row is not None
    assert (row.state, row.started_at, row.length) == ("running", 2.0, length + 2)
    assert (journal.was_held(RUN), journal.was_held("new")) == (True, False)
    assert journal.forks(RUN) == ["new"]
    indexes = {name for (name,) in journal._db.execute("select name from sqlite_schema")}
    assert indexes >= {"event_held", "event_forked"}
    journal.close()
