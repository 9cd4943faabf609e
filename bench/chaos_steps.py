"""The steps of the chaos run's playbooks: every shape that has a state of its own to lose.

Chains, branches and joins, batches under a limit, tables and lists that travel by reference,
to children too, rounds and loops with joins in them, waits, signals, hedges, losers that are
cancelled with their children, sums of batches by either of two tools, what is undone, what a
person cancels, and an effect that may happen once. RETRY stands for the same in all.
"""

from __future__ import annotations

from typing import Final

STEPS: Final = {
    "chain": """\
  - step: a
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 1, name: a}
    RETRY
    next: b
  - step: b
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ a }}", y: 10, name: b}
    RETRY
    next: c
  - step: c
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ b }}", y: 100, name: c}
    RETRY
""",
    "fan": """\
  - step: make
    tool: {kind: python, call: "work:numbers"}
    with: {n: "{{ workload.n }}"}
    RETRY
    next: [left, right]
  - step: left
    each: {in: "{{ make }}", batch: 4, in_flight: 2}
    tool: {kind: python, call: "work:squares"}
    uses: [gate]
    RETRY
    next: both
  - step: right
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 5, name: right}
    RETRY
    next: both
  - step: both
    tool: {kind: python, call: "work:total"}
    with: {parts: "{{ left.results }}", more: "{{ right }}"}
    RETRY
""",
    "large": """\
  - step: rows
    tool: {kind: python, call: "work:table"}
    with: {n: "{{ workload.n }}"}
    RETRY
    next: columns
  - step: columns
    each: {in: "{{ rows }}", batch: 6000, in_flight: 2}
    tool: {kind: python, call: "work:column"}
    RETRY
    next: list
  - step: list
    tool: {kind: python, call: "work:long_list"}
    with: {parts: "{{ columns.results }}", n: "{{ workload.n }}"}
    RETRY
    next: read
  - step: read
    tool: {kind: python, call: "work:first_and_length"}
    with: {values: "{{ list }}"}
    RETRY
""",
    "once": """\
  - step: before
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 0, name: before}
    RETRY
    next: act
  - step: act
    effect: once
    tool: {kind: python, call: "work:append"}
    with: {file: "{{ workload.file }}", line: "{{ run.id }}"}
    next:
      - {to: sure}
      - {to: unsure, on: [unknown]}
  - step: sure
    tool: {kind: python, code: "result = 'sure'"}
    RETRY
  - step: unsure
    tool: {kind: python, code: "result = 'unsure'"}
    RETRY
""",
    "rounds": """\
  - step: half
    tool: {kind: python, code: "result = number // 2"}
    with: {number: "{{ half | default(workload.n + 64) }}"}
    RETRY
    set: {count: {add: 1}}
    next:
      - {to: half, when: "half > 1", max: 50}
      - {to: poll, otherwise: true}
  - step: poll
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ repeat.round }}", y: "{{ ctx.count }}", name: poll}
    repeat: {until: "poll >= ctx.count + 3", max: 9, wait: 20ms}
    RETRY
""",
    "waits": """\
  - step: pause
    tool: {kind: wait, for: 400ms}
    next: ask
  - step: ask
    tool: {kind: signal, name: go}
    next: tell
  - step: tell
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ ask }}", y: "{{ workload.n }}", name: tell}
    RETRY
""",
    "parent": """\
  - step: child
    tool: {kind: playbook, path: chaos/chain}
    with: {n: "{{ workload.n }}"}
    next: after
  - step: after
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ child }}", y: 1000, name: after}
    RETRY
""",
    "lends": """\
  - step: rows
    tool: {kind: python, call: "work:table"}
    with: {n: "{{ workload.n }}"}
    RETRY
    next: sums
  - step: sums
    tool: {kind: playbook, path: chaos/borrows}
    with: {rows: "{{ rows }}"}
    next: after
  - step: after
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ sums }}", y: "{{ workload.n }}", name: after}
    RETRY
""",
    "hedged": """\
  - step: slow
    tool: {kind: python, call: "work:slow_at_first"}
    with: {x: "{{ workload.n }}"}
    effect: none
    hedge: {after: 100ms, max: 1}
    RETRY
    next: after
  - step: after
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ slow }}", y: 2000, name: after}
    RETRY
""",
    "race": """\
  - step: begin
    next: [near, late, long, kin]
  - step: near
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 50, name: near}
    set: {answers: {append: "{{ near }}"}}
    RETRY
    next: take
  - step: late
    tool: {kind: python, call: "work:late"}
    with: {x: "{{ workload.n }}", y: 50}
    set: {answers: {append: "{{ late }}"}}
    effect: none
    RETRY
    next: take
  - step: long
    tool: {kind: wait, for: 1h}
    next: take
  - step: kin
    tool: {kind: playbook, path: chaos/endless}
    next: take
  - step: take
    join: {any: true, losers: cancel}
    tool: {kind: python, code: "result = answers[0]"}
    with: {answers: "{{ ctx.answers }}"}
    RETRY
""",
    "laps": """\
  - step: lap
    tool: {kind: python, code: "result = before + 1"}
    with: {before: "{{ lap | default(0) }}"}
    RETRY
    next: [one, two]
  - step: one
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ lap }}", y: 0, name: one}
    RETRY
    next: meet
  - step: two
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ lap }}", y: 0, name: two}
    RETRY
    next: meet
  - step: meet
    join: {any: true}
    tool: {kind: python, code: "result = lap"}
    with: {lap: "{{ lap }}"}
    set: {met: {add: "{{ meet }}"}}
    RETRY
    next:
      - {to: lap, when: "lap < 4", max: 9}
      - {to: done, otherwise: true}
  - step: done
    tool: {kind: python, code: "result = met"}
    with: {met: "{{ ctx.met }}"}
    RETRY
""",
    "reduced": """\
  - step: sums
    each:
      in: "{{ range(workload.n % 17 + 40) }}"
      batch: 3
      in_flight: 3
      reduce: {total: {add: "{{ sums.sum }}"}, by: {append: "{{ sums.by }}"}}
    tool: {kind: python, call: "work:summed"}
    with: {by: default}
    alternatives:
      other: {kind: python, call: "work:summed", with: {by: other}}
    tune: {alternatives: [default, other]}
    RETRY
    next: tell
  - step: tell
    tool: {kind: python, code: "result = [total, *sorted(set(by))]"}
    with: {total: "{{ sums.reduced.total }}", by: "{{ sums.reduced.by }}"}
    RETRY
""",
    "undone": """\
  - step: reserve
    tool: {kind: python, call: "work:marked"}
    with: {mark: "{{ 'held' }}"}
    compensate: {kind: python, code: "(run_folder / 'freed').touch()"}
    RETRY
    next: refuse
  - step: refuse
    tool: {kind: python, call: "work:refused"}
    with: {n: "{{ workload.n }}"}
""",
    "endless": """\
  - step: wait
    tool: {kind: wait, for: 5h}
""",
}
HELPERS: Final = {
    "borrows": """\
  - step: columns
    each: {in: "{{ workload.rows }}", batch: 7000, in_flight: 2}
    tool: {kind: python, call: "work:column"}
    RETRY
    next: sum
  - step: sum
    tool: {kind: python, code: "result = sum(parts)"}
    with: {parts: "{{ columns.results }}"}
    RETRY
""",
}
"""Playbooks that only others begin."""
