"""Loops, joins, rounds, limits, compensation and ends, as an author writes them."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from playbook_text import BASE, steps
from runtime.net.faults import flow_faults, refuse_flow
from runtime.playbook.bundle import load, load_text, step_bound
from runtime.playbook.knobs import defaults
from runtime.playbook.model import Arc, Hedge, Join, Limit, Playbook, Reduce, Repeat, Start
from runtime.playbook.parse import PlaybookFault, PlaybookFaults, parse


def faults_of(text: str) -> list[PlaybookFault]:
    with pytest.raises(PlaybookFaults) as caught:
        refuse_flow(parse(text))
    return caught.value.faults


def only_fault_of(text: str) -> tuple[int, int, str]:
    [fault] = faults_of(text)
    return fault.line, fault.column, fault.message


@pytest.fixture(scope="module")
def orders() -> Playbook:
    return parse(BASE)


def test_a_step_repeats_waits_and_is_under_limits(orders: Playbook) -> None:
    assert orders.step("poll").repeat == Repeat("poll.ready", 20, 30.0)
    assert orders.step("book").uses == ("ledger",)
    assert orders.limits == {"ledger": Limit(2, 5)}
    assert orders.step("check").arcs == (
        Arc("rest", when="not check.good", max=5),
        Arc("done", otherwise=True),
    )


def test_what_undoes_a_step_and_what_runs_at_every_end_are_steps_too(orders: Playbook) -> None:
    undo = orders.step("book.compensate")
    assert undo.tool == {"kind": "python", "call": "orders:unbook"}
    assert [step.name for step in orders.finally_] == ["tidy"]
    assert orders.step("tidy").timeout_s == 20.0


@pytest.mark.parametrize(
    ("text", "join"),
    [
        ("all", Join()),
        ("any", Join("any")),
        ("{any: true}", Join("any")),
        ("{at_least: 2}", Join("at_least", 2)),
        ("{all: true, within: 5m}", Join(within_s=300.0)),
        ("{any: true, within: 5m, at_deadline: fire}", Join("any", 0, 300.0, "fire")),
        ("{all: true, within: 5m, at_deadline: c, losers: finish}", Join("all", 0, 300.0, "c")),
        ("{any: true, losers: cancel}", Join("any", losers="cancel")),
        ("{at_least: 2, losers: cancel}", Join("at_least", 2, losers="cancel")),
    ],
)
def test_a_join_is_a_word_or_says_how_long_it_waits(text: str, join: Join) -> None:
    playbook = parse(
        steps(f"- step: a\n  next: b\n- step: b\n  join: {text}\n  next: c\n- step: c")
    )
    assert playbook.step("b").join == join


def test_a_mapping_of_one_reducer_combines_and_any_other_is_a_value() -> None:
    playbook = parse(steps("- step: a\n  set: {n: {add: 1}, m: {min: 1, max: 2}, k: {adds: 1}}"))
    assert playbook.step("a").sets == {
        "n": Reduce("add", 1), "m": {"min": 1, "max": 2}, "k": {"adds": 1},
    }  # fmt: skip


def parallel(one: str, other: str) -> str:
    return steps(f"""
    - step: a
      next: [b, c]
    - step: b
      set: {{x: {one}}}
    - step: c
      set: {{x: {other}}}
    """)


def test_steps_that_run_at_once_may_set_a_key_by_one_reducer() -> None:
    parse(parallel("{add: 1}", "{add: 2}"))
    for one, other in (("{add: 1}", "{max: 2}"), ("{add: 1}", "2"), ("1", "2")):
        assert "b may set x at the same time" in only_fault_of(parallel(one, other))[2]


TOOL = "- step: a\n  tool: {kind: python, call: 'm:f'}\n"
ENDED = "- step: a\n  tool: {kind: wait, for: 5s}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (TOOL + "  repeat: {max: 3}", 7, 13, "repeat needs until"),
        (TOOL + "  repeat: {until: a}", 7, 13, "repeat needs max"),
        (TOOL + "  repeat: {until: a, max: 3}\n  each: {in: '{{ [1] }}'}", 7, 3 + 2,
         "a step has each or repeat, not both"),
        (TOOL + "  uses: []", 7, 11, "uses names limits"),
        (TOOL + "  uses: [x, x]", 7, 15, "x is here twice"),
        (TOOL + "  with: {n: '{{ repeat.round }}'}", 7, 19, "repeat is known in"),
        (TOOL + "  compensate: {kind: wait, for: 1s}", 7, 17, "a wait undoes nothing"),
        (TOOL + "  join: {any: true, all: true}", 7, 12, "one of all, any and at_least"),
        (TOOL + "  join: {within: 5m}", 7, 11, "says how many inputs it needs"),
        (TOOL + "  join: {all: true, at_deadline: fire}", 7, 23, "never comes to its deadline"),
        ("- step: repeat", 5, 11, "repeat is a reserved word"),
        (ENDED + "  each: {in: '{{ [1] }}'}", 7, 5, "a wait tool has no use for each"),
        (ENDED + "  retry: {attempts: 2}", 7, 5, "a wait tool has no use for retry"),
        ("- step: a\n  tool: {kind: wait}", 6, 11, "needs for or until"),
        ("- step: a\n  tool: {kind: wait, until: tomorrow}", 6, 31, "tomorrow"),
        ("- step: a\n  tool: {kind: wait, until: ctx + }", 6, 35, "unexpected end"),
        ("- step: a\n  tool: {kind: wait, until: a.at}", 6, 31, "before it ran"),
        ("- step: a\n  tool: {kind: wait, until: 2026-12-01T08:00}", 6, 31, "is no time"),
        ("- step: a\n  tool: {kind: wait, until: 2026-13-01T08:00Z}", 6, 31, "is no time"),
        ("- step: a\n  tool: {kind: signal, name: x}\n  with: {a: 1}", 7, 5, "no use for with"),
        ("- step: a\n  tool: {kind: approval, prompt: x, timeout: 5m}", 6, 39, "unknown key"),
        ("- step: a\n  tool: {kind: playbook, path: demo/p}", 6, 34, "start itself without end"),
        ("- step: a\n  tool: {kind: playbook, path: '{{ ctx }}'}", 6, 34, "is no playbook path"),
        (TOOL + "  uses: x\n  limits: {x: 1}", 8, 5, "unknown key limits"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named_at_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    found = only_fault_of(steps(text))
    assert found[:2] == (line, column), found
    assert message in found[2]


@pytest.mark.parametrize(
    "until", ["2026-12-01T08:00Z", "2026-12-01T08:00:30+01:00", "'{{ ctx }}'", "ctx"]
)
def test_a_wait_ends_at_a_time_with_its_zone(until: str) -> None:
    parse(steps(f"- step: a\n  tool: {{kind: wait, until: {until}}}"))


def test_a_playbook_may_start_itself_where_a_condition_can_end_it() -> None:
    guarded = """
    - step: a
      next: [{to: again, when: "workload.n > 0"}, {to: done, otherwise: true}]
    - step: again
      tool: {kind: playbook, path: demo/p}
      with: {n: "{{ workload.n - 1 }}"}
    - step: done
    """
    parse(steps(guarded, "workload: {n: 3}\n"))


def looped(arc: str, *, after: str = "- step: after") -> str:
    return steps(f"""
    - step: head
      tool: {{kind: python, call: "m:f"}}
      with: {{n: "{{{{ body.n | default(0) }}}}"}}
      next: body
    - step: body
      tool: {{kind: python, call: "m:f"}}
      next:
        - {arc}
        - {{to: after, otherwise: true}}
    """) + indent(after, "  ")


def test_a_loop_needs_a_condition_and_a_limit_on_its_arc_back() -> None:
    parse(looped('{to: head, when: "body.more", max: 3}'))
    line, column, message = only_fault_of(looped('{to: head, when: "body.more"}'))
    assert (line, column) == (12, 14)
    assert "needs max" in message


def test_a_retrying_loop_is_closed_by_an_error_arc() -> None:
    text = looped("{to: head, on: [data], max: 3}").replace(", otherwise: true", "")
    refuse_flow(parse(text))


UNSOUND = {
    "two entries": ("""
    - step: a
      next: [{to: b, when: workload}, {to: c, otherwise: true}]
    - step: b
      tool: {kind: python, call: "m:f"}
      next: c
    - step: c
      tool: {kind: python, call: "m:f"}
      next: [{to: b, when: c, max: 3}, {to: d, otherwise: true}]
    - step: d
    """, 12, 17, "a loop has two entries, so that its rounds cannot be told apart: b → c → b"),
    "no exit": ("""
    - step: a
      tool: {kind: python, call: "m:f"}
      next: [{to: a, when: workload, max: 3}, {to: a, otherwise: true, max: 3}]
    """, 7, 17, "a loop has no exit that can be reached: a → a"),
    "a quorum too large": ("""
    - step: a
      next: b
    - step: b
      join: {at_least: 2}
    """, 8, 11, "a join cannot have as many tokens as it asks for: b"),
    "a branch that ends in a loop": ("""
    - step: a
      tool: {kind: python, call: "m:f"}
      next: [b, log]
    - step: b
      next: [{to: a, when: a, max: 3}, {to: c, otherwise: true}]
    - step: log
    - step: c
    """, 7, 15, "a branch ends within a loop"),
    "an impossible error": ("""
    - step: a
      next: [b, {to: late, on: [timeout]}]
    - step: b
    - step: late
    """, 8, 11, "a step cannot be reached: late"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_flow_is_one_fault_at_its_place_with_the_way_there(name: str) -> None:
    text, line, column, message = UNSOUND[name]
    found = only_fault_of(steps(text))
    assert found[:2] == (line, column), found
    assert message in found[2]
    assert "way there" in found[2] or name in ("a quorum too large", "an impossible error")


def test_the_steps_of_a_loop_may_ask_for_earlier_rounds_and_not_count_on_them() -> None:
    parse(looped('{to: head, when: "body.more", max: 3}'))
    text = looped('{to: head, when: "body.more", max: 3}').replace(" | default(0)", "")
    assert "body may not have run by then" in only_fault_of(text)[2]


def test_what_comes_after_a_loop_may_use_what_its_last_round_gave() -> None:
    after = "- step: after\n  set: {n: '{{ body.n }}'}\n"
    parse(looped('{to: head, when: "body.more", max: 3}', after=after))


def test_a_playbook_takes_the_code_of_its_ends_along() -> None:
    text = steps(
        TOOL + "  compensate: {kind: python, call: 'u:f'}",
        "finally:\n  - step: z\n    tool: {kind: python, call: 'z:f'}\n",
    )
    code = {f"{name}.py": "def f():\n    pass\n" for name in "muz"}
    assert load_text(text, code).playbook.step("z").tool == {"kind": "python", "call": "z:f"}
    with pytest.raises(PlaybookFaults) as caught:
        load_text(text, {"m.py": code["m.py"]})
    found = [(f.line, f.path, f.message) for f in caught.value.faults]
    assert found == [
        (6, "finally[0].tool.call", "there is no file z.py"),
        (10, "workflow[0].compensate.call", "there is no file u.py"),
    ]


def test_faults_of_the_files_and_of_the_flow_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(steps("""
    - step: a
      tool: {kind: python, call: "m:f"}
      next: b
    - step: b
      join: {at_least: 2}
    """))  # fmt: skip
    with pytest.raises(PlaybookFaults) as caught:
        load(file, judge=flow_faults)
    assert [(f.line, f.path) for f in caught.value.faults] == [
        (6, "workflow[0].tool.call"),
        (9, "workflow[1].join"),
    ]


# ---- hedges -----------------------------------------------------------------------------

HEDGED = '- step: a\n  tool: {kind: python, call: "m:f"}\n'


@pytest.mark.parametrize(
    ("text", "hedge"),
    [
        ("hedge: 2s", Hedge(2.0)),
        ("hedge: {after: 500ms}", Hedge(0.5)),
        ("hedge: {after: 2s, max: 3}", Hedge(2.0, 3)),
    ],
)
def test_a_hedge_is_a_time_or_says_how_many_too(text: str, hedge: Hedge) -> None:
    step = parse(steps(HEDGED + f"  {text}\n  tune: {{hedge: {{min: 10ms, max: 1m}}}}")).step("a")
    assert step.hedge == hedge
    assert defaults(step)["hedge"] == hedge.after_s


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("hedge: 2", 7, 10, "hedge must be a duration"),
        ("hedge: {max: 1}", 7, 10, "hedge says after how long"),
        ("hedge: {after: 2s, max: 6}", 7, 27, "hedge.max must be 1 to 5"),
        ("hedge: {after: 2s, most: 1}", 7, 22, "unknown key most"),
        ("hedge: 2s\n  effect: once", 7, 3, "at most once cannot be hedged"),
        ("publishes: {product: a.b}\n  hedge: 2s", 8, 3, "publishes cannot be hedged"),
        ("tune: {hedge: {min: 1s, max: 2s}}", 7, 10, "the step has no hedge"),
        ("hedge: 5s\n  tune: {hedge: {min: 1s, max: 2s}}", 8, 17, "outside 1 to 2"),
        ("hedge: {after: 5s}\n  tune: {hedge: {min: 1s, max: 2s}}", 8, 17, "outside 1 to 2"),
    ],
)
def test_a_hedge_that_makes_no_sense_is_refused_at_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    found = only_fault_of(steps(HEDGED + f"  {text}"))
    assert (found[0], found[1] - 2) == (line, column)
    assert message in found[2]


@pytest.mark.parametrize("tool", ["{kind: shell, run: ls}", "{kind: wait, for: 5m}"])
def test_a_tool_that_acts_once_or_that_nobody_runs_is_not_hedged(tool: str) -> None:
    line, column, message = only_fault_of(steps(f"- step: a\n  tool: {tool}\n  hedge: 2s"))
    assert (line, column) == (7, 5)
    assert "hedge" in message


# ---- hours ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("start: {at_most: 12h}", Start("any", 43_200.0)),
        ("start: {at_most: 12h, spread: 30m}", Start("any", 43_200.0, spread_s=1800.0)),
        ("start: {hours: 22:00-06:00, at_most: 8h}", Start("22-6", 28_800.0)),
        (
            "start: {hours: 0-4, at_most: 1d, zone: Asia/Tokyo}",
            Start("0-4", 86_400.0, "Asia/Tokyo"),
        ),
    ],
)
def test_a_step_says_for_which_hours_it_may_wait_and_how_long(text: str, start: Start) -> None:
    step = parse(steps(HEDGED + f"  {text}"))
    assert step.step("a").start == start
    assert defaults(step.step("a"))["start.hours"] == start.hours


def test_windows_of_one_length_are_the_choices_of_hours() -> None:
    text = "  start: {at_most: 12h}\n  tune: {start.hours: {window: 8h}}"
    (knob,) = parse(steps(HEDGED + text)).step("a").tune
    assert knob.choices == ("any", "0-8", "8-16", "16-24")
    text = text.replace("{window: 8h}", "[any, 20-0]")
    assert parse(steps(HEDGED + text)).step("a").tune[0].choices == ("any", "20-24")


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("start: 22-6", 7, 12, "start must be a mapping"),
        ("start: {hours: 22-6}", 7, 12, "how long the step may wait"),
        ("start: {hours: 22, at_most: 1h}", 7, 20, "hours must be a text"),
        ("start: {hours: 6-6, at_most: 1h}", 7, 20, "are no hours of the day"),
        ("start: {at_most: 1h, zone: Mars}", 7, 32, "no time zone is called Mars"),
        ("tune: {start.hours: [any, 22-6]}", 7, 12, "the step has no start"),
        ("start: {at_most: 1h}\n  tune: {start.hours: {window: 5h}}", 8, 34, "of that length"),
        ("timeout: 5s\n  tune: {timeout: {window: 4h}}", 8, 22, "timeout has no window"),
        ("start: {hours: 1-2, at_most: 1h}\n  tune: {start.hours: [any]}", 8, 25, "not among"),
    ],
)
def test_hours_that_make_no_sense_are_refused_at_their_place(
    text: str, line: int, column: int, message: str
) -> None:
    found = only_fault_of(steps(HEDGED + f"  {text}"))
    assert message in found[2]
    assert found[:2] == (line, column)


def test_a_start_that_is_no_mapping_is_shown_how_it_is_written() -> None:
    with pytest.raises(PlaybookFaults) as told:
        parse(steps("- step: a\n  tool: {kind: python, call: m:f}\n  start: 22-6"))
    assert "{hours: 22-6, at_most: 12h}" in told.value.faults[0].hint


def test_what_no_worker_runs_waits_for_no_hours() -> None:
    found = only_fault_of(
        steps("- step: a\n  tool: {kind: wait, for: 5m}\n  start: {at_most: 1h}")
    )
    assert "has no use for start" in found[2]


# ---- alternatives -----------------------------------------------------------------------

TWO = """
- step: a
  tool: {kind: python, code: "result = 1"}
  with: {n: 1}
  alternatives:
    cheap: {kind: python, code: "result = 2"}
    duck: {kind: sql, query: "select $m", with: {m: 3}}
  tune: {alternatives: [default, duck]}
"""


def test_an_alternative_is_a_tool_that_may_have_arguments_of_its_own() -> None:
    step = parse(steps(TWO)).step("a")
    assert step.variant("cheap").tool == {"kind": "python", "code": "result = 2"}
    assert step.variant("cheap").args == {"n": 1}
    assert step.variant("duck").tool == {"kind": "sql", "query": "select $m"}
    assert step.variant("duck").args == {"m": 3}
    assert step.variant("default") is step
    assert defaults(step)["alternatives"] == "default"


@pytest.mark.parametrize(
    ("kind", "said", "effect"),
    [
        ("{kind: shell, run: ls}", "", "once"),
        ("{kind: http, url: 'https://x.example', method: POST}", "", "once"),
        ("{kind: sql, query: 'select 1'}", "", "idempotent"),
        ("{kind: shell, run: ls}", "effect: none", "none"),
    ],
)
def test_the_strictest_effect_holds_unless_the_author_says(
    kind: str, said: str, effect: str
) -> None:
    text = f"- step: a\n  tool: {{kind: python, call: 'm:f'}}\n  alternatives: {{b: {kind}}}\n"
    assert parse(steps(text + f"  {said}\n")).step("a").effect == effect


def place_of_mark(text: str) -> tuple[str, int, int]:
    """Return a text without its mark, and where the mark stood."""
    before, after = text.split("§")
    return before + after, before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        ("cheap:", "§default:", "default is the step's own tool"),
        ("cheap:", "§not-cheap:", "is no name of an alternative"),
        ("kind: sql, query", "kind: http, §query", "unknown key query"),
        ('{kind: python, code: "result = 2"}', "§{kind: wait, for: 5m}", "is no alternative"),
        ("select $m", "select §$n", "nothing gives $n"),
        ("with: {m: 3}", "§wiht: {m: 3}", "unknown key wiht"),
        ("[default, duck]", "[default, §duk]", "a has no alternative duk"),
        ("[default, duck]", "§[cheap, duck]", "default, is not among the choices"),
        ("[default, duck]", "§{min: 1, max: 2}", "has choices, not bounds"),
        ("with: {m: 3}", 'with: {m: "{{ §nowhere }}"}', "unknown name nowhere"),
    ],
)
def test_every_fault_of_an_alternative_is_named_at_its_place(
    find: str, put: str, message: str
) -> None:
    text, line, column = place_of_mark(steps(TWO.replace(find, put)))
    assert [(f.line, f.column) for f in faults_of(text) if message in f.message] == [
        (line, column)
    ]


def test_an_alternatives_files_and_code_are_part_of_the_bundle_and_of_what_is_approved() -> None:
    text, line, column = place_of_mark(
        steps(TWO.replace('code: "result = 2"', 'call: "§other:cheap"'))
    )
    with pytest.raises(PlaybookFaults, match=r"no file other\.py") as caught:
        load_text(text, {})
    assert (caught.value.faults[0].line, caught.value.faults[0].column) == (line, column)
    bundle = load_text(text, {"other.py": "def cheap(n):\n    return n\n"})
    other = load_text(text.replace("m: 3", "m: 4"), bundle.files)
    one, two = (step_bound(b.playbook, "a", bundle.files) for b in (bundle, other))
    assert one != two
    with pytest.raises(PlaybookFaults, match="not Python"):
        load_text(steps(TWO.replace("result = 2", "result =")), {})


# ---- reducing ---------------------------------------------------------------------------

REDUCED = """
- step: a
  each: {in: "{{ [1] }}", reduce: {total: {add: "{{ a.n }}"}, all: {append: "{{ a }}"}}}
  tool: {kind: python, call: "m:f"}
"""


def test_an_each_may_say_what_its_batches_come_to() -> None:
    each = parse(steps(REDUCED)).step("a").each
    assert each is not None
    assert each.reduce == {"total": Reduce("add", "{{ a.n }}"), "all": Reduce("append", "{{ a }}")}


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        ("{add: ", "§{sum: ", "reduce total names no reducer"),
        ('{add: "{{ a.n }}"}', "§5", "reduce total names no reducer"),
        ("total:", "§to-tal:", "is no reduced name"),
        ("{{ a.n }}", "{{ §b.n }}", "unknown name b"),
        ("{{ a.n }}", "{{ §item }}", "item is known in the tool and with"),
        ('{total: {add: "{{ a.n }}"}, all: {append: "{{ a }}"}}', "§{}", "reduce names nothing"),
    ],
)
def test_a_reduction_that_makes_no_sense_is_refused_at_its_place(
    find: str, put: str, message: str
) -> None:
    text, line, column = place_of_mark(steps(REDUCED.replace(find, put)))
    assert [(f.line, f.column) for f in faults_of(text) if message in f.message] == [
        (line, column)
    ]
