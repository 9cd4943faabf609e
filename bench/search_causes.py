"""Ways to fail: what each of the jobs of the search corpus does when it fails for a cause.

A line of `CAUSES` is one way of one job: ``job | step | tool | what``. ``what`` is Python that
a worker runs (``py``), SQL (``sql``, ``lite``), a path of the local service (``http``) or a
command line (``sh``); the errors are those of the libraries, none is written here. Each cause
is met by four jobs, and each job fails in several ways, so neither the name of a job nor that
of a library gives a cause away.
A backslash and an n are a new line.
"""

# ruff: noqa: E501 - a way is a line
from __future__ import annotations

from typing import Final

JOBS: Final = {
    "payments": "Charge the cards of the orders of an hour and book the receipts.",
    "billing": "Write the invoices of a month and send them to the customers.",
    "shipping": "Book parcels with the carriers and print their labels.",
    "inventory": "Count what lies in the warehouses and order what runs out.",
    "patients": "Build the cohort of patients for a clinical study.",
    "labs": "Collect laboratory results from the clinics and check their units.",
    "weather": "Fetch the forecasts of all stations and grid them.",
    "sensors": "Gather the readings of the factory's machines each minute.",
    "search-index": "Build the index that the shop's search box asks.",
    "recommendations": "Train and publish what customers may like next.",
    "fraud": "Score transactions for fraud before they settle.",
    "newsletter": "Send the weekly letter to all subscribers.",
    "images": "Resize product photos and put them into storage.",
    "video": "Cut uploaded films into streams of several sizes.",
    "translations": "Translate product texts into twelve languages.",
    "tickets": "Sort the letters of customers to the right team of support.",
    "payroll": "Compute the wages of the month and hand them to the bank.",
    "taxes": "Report the sales tax of each state to its office.",
    "telemetry": "Aggregate the events of the mobile apps by day.",
    "maps": "Render map tiles of the delivery zones.",
    "genomics": "Align the reads of a sequencing run and call variants.",
    "trading": "Reconcile the trades of the day with the exchange.",
    "backups": "Copy the databases to cold storage each night.",
    "crawler": "Read the catalogues of suppliers from their web sites.",
}

CAUSES: Final = {
    "connection-refused": r"""
payments | authorize | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['dead']}/v1/charges/{workload['n']}")
fraud | fetch_features | py | import socket; socket.create_connection(("127.0.0.1", workload['dead']), 2)
telemetry | pull | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['dead']}/batch/{workload['n']}")
maps | get_zones | http | dead:/zones
""",
    "dns": r"""
weather | download | py | import socket; socket.getaddrinfo("forecasts.stations.invalid", 443)
crawler | read_catalogue | py | import httpx2; httpx2.get(f"http://shop{workload['n']}.suppliers.invalid/list")
newsletter | connect_mail | py | import smtplib; smtplib.SMTP("mail.letters.invalid", 25, timeout=5)
trading | open_session | py | import urllib.request; urllib.request.urlopen("http://fix.exchange.invalid/session")
""",
    "read-timeout": r"""
patients | fetch_records | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/slow?n={workload['n']}", timeout=0.15)
labs | collect | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/slow", timeout=0.15)
translations | translate | py | import http.client; c = http.client.HTTPConnection("127.0.0.1", workload['port'], timeout=0.15); c.request("GET", "/slow"); c.getresponse()
shipping | quote | py | import socket; s = socket.create_connection(("127.0.0.1", workload['port'])); s.settimeout(0.1); s.recv(10)
""",
    "step-deadline": r"""
video | encode | slow | import time; time.sleep(30)
genomics | align | slow | x = 0\nwhile True: x += 1
recommendations | train | slow | import threading; threading.Event().wait(30)
images | resize | slow | import subprocess; subprocess.run(["sleep", "30"])
""",
    "rate-limit": r"""
translations | send_texts | http | 429
crawler | next_page | http | 429:retry
tickets | classify | py | import httpx2; r = httpx2.get(f"http://127.0.0.1:{workload['port']}/status/429"); r.raise_for_status()
weather | stations | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/status/429")
""",
    "server-error": r"""
shipping | book | http | 500
taxes | submit | http | 500
inventory | reorder | py | import httpx2; httpx2.post(f"http://127.0.0.1:{workload['port']}/status/500").raise_for_status()
tickets | route | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/status/500")
""",
    "unavailable": r"""
payroll | bank | http | 503
search-index | publish | http | 502
recommendations | push_model | http | 503
sensors | forward | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/status/503").raise_for_status()
""",
    "auth": r"""
labs | sign_in | http | 401
trading | fills | http | 401
images | upload | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/status/401").raise_for_status()
taxes | token | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/status/401")
""",
    "forbidden": r"""
backups | list_bucket | http | 403
patients | consent | http | 403
video | store | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/status/403").raise_for_status()
maps | tiles | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/status/403")
""",
    "not-found": r"""
crawler | product | http | 404
shipping | track | http | 404
newsletter | template | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/status/404").raise_for_status()
billing | customer | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/status/404")
""",
    "certificate": r"""
payments | handshake | py | import httpx2; httpx2.get(f"https://localhost:{workload['tls']}/")
trading | prices | py | import urllib.request; urllib.request.urlopen(f"https://localhost:{workload['tls']}/")
backups | reach_vault | py | import ssl, socket; ssl.create_default_context().wrap_socket(socket.create_connection(("localhost", workload['tls'])), server_hostname="localhost")
labs | clinic_link | py | import http.client; http.client.HTTPSConnection("localhost", workload['tls']).request("GET", "/")
""",
    "connection-reset": r"""
sensors | stream | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/reset")
telemetry | drain | py | import urllib.request; urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/reset")
video | fetch_upload | http | /cut
payroll | transfer | py | import http.client; c = http.client.HTTPConnection("127.0.0.1", workload['port']); c.request("GET", "/reset"); c.getresponse()
""",
    "missing-table": r"""
inventory | count_stock | sql | SELECT * FROM stock_levels WHERE day = 3
billing | month_totals | lite | SELECT sum(amount) FROM invoices
telemetry | sessions | sql | SELECT count(*) FROM app_sessions
fraud | history | py | import sqlite3; sqlite3.connect(":memory:").execute("select * from past_cases")
""",
    "missing-column": r"""
payroll | hours | sql | SELECT t.overtime FROM (SELECT 1 AS hours) t
patients | cohort | sql | SELECT date_of_birth FROM (SELECT 1 AS id, 'x' AS born) p
taxes | sum_by_state | lite | SELECT state_code FROM (SELECT 1 AS amount)
recommendations | features | py | import pandas as pd; pd.DataFrame({"user": [1]})["last_seen"]
""",
    "sql-syntax": r"""
billing | overdue | sql | SELEC customer FROM accounts
trading | match | sql | SELECT a, FROM (SELECT 1 AS a) WHERE
search-index | select_documents | lite | SELECT id FORM products
genomics | query_variants | py | import sqlite3; sqlite3.connect(":memory:").execute("select count( from variants")
""",
    "duplicate-key": r"""
payments | book_receipt | py | import sqlite3; c = sqlite3.connect(":memory:"); c.execute("create table receipts(id integer primary key)"); c.executemany("insert into receipts values(?)", [(workload['n'],)] * 2)
inventory | insert_items | py | import duckdb; c = duckdb.connect(); c.execute("create table items(sku int primary key)"); c.execute("insert into items values (1), (1)")
tickets | save_thread | py | import sqlite3; c = sqlite3.connect(":memory:"); c.execute("create table thread(mail text unique)"); c.executemany("insert into thread values(?)", [("a",), ("a",)])
shipping | label_rows | sql | CREATE TABLE labels(parcel INT PRIMARY KEY); INSERT INTO labels VALUES (7); INSERT INTO labels VALUES (7)
""",
    "null-value": r"""
labs | store_results | py | import sqlite3; c = sqlite3.connect(":memory:"); c.execute("create table result(patient text not null)"); c.execute("insert into result values(null)")
patients | load_visits | sql | CREATE TABLE visits(patient INT NOT NULL, day INT); INSERT INTO visits VALUES (NULL, 4)
billing | lines | py | total = sum(r["amount"] for r in [{"amount": 4}, {"amount": None}])
weather | grid | py | import duckdb; c = duckdb.connect(); c.execute("create table g(t double not null)"); c.execute("insert into g values (null)")
""",
    "foreign-key": r"""
shipping | attach_order | py | import sqlite3; c = sqlite3.connect(":memory:"); c.executescript("pragma foreign_keys=on; create table orders(id integer primary key); create table parcel(o integer references orders(id));"); c.execute("insert into parcel values(99)")
payments | refund | sql | CREATE TABLE charge(id INT PRIMARY KEY); CREATE TABLE refund(charge INT REFERENCES charge(id)); INSERT INTO refund VALUES (5)
payroll | assign_staff | py | import sqlite3; c = sqlite3.connect(":memory:"); c.executescript("pragma foreign_keys=on; create table dept(id integer primary key); create table staff(d integer references dept(id));"); c.execute("insert into staff values(12)")
tickets | link_customer | sql | CREATE TABLE customer(id INT PRIMARY KEY); CREATE TABLE mail(c INT REFERENCES customer(id)); INSERT INTO mail VALUES (31)
""",
    "database-locked": r"""
inventory | write_counts | py | import sqlite3; p = str(run_folder / "stock.db"); a = sqlite3.connect(p); a.execute("create table t(x)"); a.commit(); a.execute("begin exclusive"); sqlite3.connect(p, timeout=0.05).execute("insert into t values(1)")
sensors | append | py | import sqlite3; p = str(run_folder / "r.db"); a = sqlite3.connect(p); a.execute("create table reading(x)"); a.commit(); a.execute("begin immediate"); sqlite3.connect(p, timeout=0.02).execute("begin immediate")
telemetry | upsert_day | py | import sqlite3; p = str(run_folder / "d.db"); a = sqlite3.connect(p); a.execute("create table day(x)"); a.commit(); a.execute("begin exclusive"); sqlite3.connect(p, timeout=0.02).execute("select * from day").fetchall()
trading | settle | py | import sqlite3; p = str(run_folder / "s.db"); a = sqlite3.connect(p, isolation_level=None); b = sqlite3.connect(p, timeout=0.02, isolation_level=None); a.execute("create table s(x)"); a.execute("begin"); a.execute("select * from s").fetchall(); b.execute("begin"); b.execute("select * from s").fetchall(); a.execute("insert into s values(1)"); b.execute("insert into s values(2)")
""",
    "disk-full": r"""
backups | write_archive | py | open("/dev/full", "w", buffering=1).write("x" * 9000)
video | save_segment | py | import os; os.write(os.open("/dev/full", os.O_WRONLY), b"frame" * 1000)
images | spool | sh | dd if=/dev/zero of=/dev/full bs=1k count=4
genomics | sort_reads | py | import shutil, io; shutil.copyfileobj(io.BytesIO(b"ACGT" * 99999), open("/dev/full", "wb", buffering=0))
""",
    "out-of-memory": r"""
recommendations | matrix | memory | x = [bytearray(1 << 20) for _ in range(900)]
genomics | assemble | memory | x = []\nfor i in range(900): x.append(b"G" * (1 << 20))
search-index | merge | py | import numpy as np; np.ones((1 << 22, 1 << 24))
maps | render | py | x = bytearray(1 << 46)
""",
    "missing-module": r"""
fraud | score | py | import scorecards
genomics | annotate | py | from vcf_tools_pro import read
newsletter | render | py | import mjml_render
labs | units | py | from unitparse.si import convert
""",
    "missing-file": r"""
payroll | read_timesheets | py | open(f"/data/timesheets/{workload['n']}.csv")
images | open_photo | py | from pathlib import Path; Path("/mnt/photos/shoe.png").read_bytes()
video | cleanup | py | import os; os.remove("/mnt/films/old.mp4")
backups | keyfile | sh | cat /etc/trimtab-backup/key.pem
""",
    "permission": r"""
backups | dump | py | import os; os.seteuid(65534)\ntry: open("/etc/shadow").read()\nfinally: os.seteuid(0)
taxes | rates | sql | SELECT * FROM read_csv('/data/tax/rates.csv')
images | thumbnails | py | import os; os.seteuid(65534)\ntry: open("/etc/thumbs.db", "w")\nfinally: os.seteuid(0)
maps | cache | py | import subprocess; subprocess.run(["/etc/hostname", "--tiles"])
""",
    "json-decode": r"""
weather | parse_forecast | py | import json, urllib.request; json.loads(urllib.request.urlopen(f"http://127.0.0.1:{workload['port']}/html").read())
tickets | read_mail | py | import json; json.loads('{"from": "a@b", "body": ')
sensors | decode | py | import httpx2; httpx2.get(f"http://127.0.0.1:{workload['port']}/html").json()
crawler | parse_list | py | import json; json.loads("")
""",
    "encoding": r"""
translations | read_texts | py | b"caf\xe9 au lait".decode("utf-8")
newsletter | names | py | open("/dev/stdin") if False else "Łódź".encode("ascii")
crawler | page_text | py | bytes([0x80, 0x81, workload['n'] % 50 + 130]).decode("utf-8")
billing | export | py | "Société Générale €".encode("latin-1")
""",
    "schema-drift": r"""
telemetry | flatten | py | e = {"evt": "tap", "ts2": 4}; e["event_type"]
sensors | unpack | py | reading = {"temp_c": 4}; reading["temperature"]
inventory | feed_rows | py | import pyarrow as pa; pa.table({"sku": [1]}).select(["sku", "warehouse"])
labs | map_fields | py | row = {"analyte": "Na"}; row["loinc_code"]
""",
    "type-mismatch": r"""
billing | amounts | py | int("12,50 EUR")
payroll | rate | py | float("n/a")
taxes | parse_rows | sql | SELECT CAST('twelve' AS INTEGER)
trading | quantities | py | import pyarrow as pa; pa.array(["4", "x"]).cast(pa.int64())
""",
    "out-of-range": r"""
sensors | calibrate | py | t = 900 + workload['n'] % 50\nif not -60 <= t <= 120: raise ValueError(f"temperature {t} is outside -60..120")
weather | check_wind | sql | CREATE TABLE wind(speed INT CHECK (speed BETWEEN 0 AND 120)); INSERT INTO wind VALUES (777)
patients | ages | py | import datetime; datetime.date(2026, 13, 40)
fraud | amounts | sql | SELECT CAST(99999999999 AS INTEGER)
""",
    "divide-by-zero": r"""
recommendations | normalise | py | total = 0; share = 4 / total
telemetry | rates | py | import decimal; decimal.Decimal(4) / decimal.Decimal(0)
fraud | ratio | py | import fractions; fractions.Fraction(3, 0)
inventory | turnover | py | import statistics; 100 // (workload['n'] - workload['n'])
""",
    "empty-data": r"""
search-index | top_document | py | docs = []; docs[0]
patients | average_age | py | import statistics; statistics.mean([])
maps | bounds | py | max([])
recommendations | best | py | next(iter([]))
""",
    "crash": r"""
genomics | call_variants | py | import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
video | probe | py | import ctypes; ctypes.string_at(0)
images | filter | py | import os; os.abort()
maps | project | py | import os; os._exit(139)
""",
    "child-failed": r"""
backups | verify | sh | tar tf /nowhere/archive.tar
video | transcode | sh | echo 'codec not found: hevc_fast' >&2; exit 4
genomics | index | py | import subprocess; subprocess.run(["false"], check=True)
images | convert | py | import subprocess; subprocess.run(["sh", "-c", "echo bad profile >&2; exit 3"], check=True)
""",
    "no-command": r"""
video | thumbnail | sh | ffmpeg9 -i in.mp4 out.png
maps | tile_tool | py | import subprocess; subprocess.run(["tippecanoe9", "-o", "x"])
search-index | stem | sh | hunspellx -l words
backups | rsync | py | import subprocess; subprocess.check_call(["rclonex", "sync"])
""",
    "quota": r"""
translations | paid_call | http | 402
newsletter | send | http | quota
recommendations | store_vectors | http | quota
images | cdn | py | import httpx2; r = httpx2.get(f"http://127.0.0.1:{workload['port']}/quota"); raise RuntimeError(r.text)
""",
    "bad-request": r"""
payments | capture | http | 400
taxes | file_return | http | 422
shipping | address | http | 422
tickets | reply | py | import httpx2; httpx2.post(f"http://127.0.0.1:{workload['port']}/status/400").raise_for_status()
""",
    "conflict": r"""
inventory | reserve | http | 409
billing | close_month | http | 409
payroll | lock_period | py | import httpx2; httpx2.put(f"http://127.0.0.1:{workload['port']}/status/409").raise_for_status()
search-index | swap_alias | http | 412
""",
    "too-many-files": r"""
sensors | open_logs | py | import resource; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); keep = []\ntry:\n  while True: keep.append(open("/dev/null"))\nfinally: keep.clear(); resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
crawler | open_sockets | py | import resource, socket; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); keep = []\ntry:\n  while True: keep.append(socket.socket())\nfinally: keep.clear(); resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
telemetry | shards | py | import resource, tempfile; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); keep = []\ntry:\n  while True: keep.append(tempfile.TemporaryFile())\nfinally: keep.clear(); resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
weather | files | py | import resource, os; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); keep = []\ntry:\n  while True: keep.append(os.dup(1))\nfinally: [os.close(f) for f in keep]; resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
""",
    "recursion": r"""
search-index | walk_tree | py | def f(x): return f(x + 1)\nf(0)
fraud | graph | py | class A:\n  def __getattr__(self, n): return getattr(self, n + "x")\nA().edges
maps | polygons | py | import json; a = []; a.append(a); json.dumps(a)
translations | nested | py | import ast; eval("(" * 500 + ")" * 500)
""",
    "corrupt-file": r"""
backups | restore | py | import gzip; gzip.decompress(b"not a gzip file")
images | read_zip | py | import zipfile, io; zipfile.ZipFile(io.BytesIO(b"PK nothing"))
labs | read_parquet | py | import pyarrow.parquet as pq, pyarrow as pa; pq.read_table(pa.BufferReader(b"PAR0 broken"))
genomics | read_db | py | import sqlite3; p = run_folder / "v.db"; p.write_bytes(b"garbage" * 900); sqlite3.connect(str(p)).execute("select 1 from t")
""",
    "wrong-argument": r"""
fraud | call_model | py | def model(amount): return amount\nmodel(amount=1, country="CH")
billing | discount | py | def discount(price, percent): return price\ndiscount(10)
tickets | priority | py | "urgent" + 3
trading | spread | py | None.bid
""",
}
