-- The journal: one row an event. A golden copy of this file is kept in tests/golden.
create table if not exists writer (
  writer     integer primary key autoincrement,
  started_at real not null
);
create table if not exists event (
  writer     integer not null,
  pos        integer not null,
  stream     text    not null,
  stream_seq integer not null,
  type       text    not null,
  version    integer not null,
  at         real    not null,
  body       text    not null
);
create unique index if not exists event_by_pos on event (writer, pos);
create unique index if not exists event_by_stream on event (stream, stream_seq);
create index if not exists event_product on event (type) where type = 'product.published';
create index if not exists event_forked on event (json_extract(body, '$.forked.run'))
  where type = 'run.submitted' and json_extract(body, '$.forked.run') is not null;
create index if not exists event_held on event (stream) where type = 'step.held';
-- The index of runs, kept in the transaction of the events it follows from.
create table if not exists run (
  run          text primary key,
  playbook     text    not null,
  version      text    not null,
  number       integer not null,
  state        text    not null,
  submitted_at real    not null,
  started_at   real,
  ended_at     real,
  actor        text    not null,
  key          text unique,
  system       integer not null,
  length       integer not null
) without rowid;
create index if not exists run_live on run (state) where ended_at is null;
create index if not exists run_by_playbook on run (playbook, run);
