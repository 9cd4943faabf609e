-- What the journal refers to: made from its events alone, and made anew when it is lost.
create table if not exists read (
  writer integer primary key,
  pos    integer not null
);
create table if not exists run (
  run      text primary key,
  ended_at real
) without rowid;
create table if not exists mark (
  name text not null,
  run  text not null,
  kind text not null,
  primary key (name, run, kind)
) without rowid;
create index if not exists mark_by_run on mark (run);
-- A JSON object is read once for the objects inside it; none inside is a row of its own.
create table if not exists inside (
  outer_name text not null,
  name       text not null,
  primary key (outer_name, name)
) without rowid;
