"""A playbook becomes typed values; what cannot be read says where and why."""

from __future__ import annotations

import pytest

from playbook_text import BASE, faults_of, steps
from runtime.playbook.arcs import CATCHABLE
from runtime.playbook.knobs import KNOBS, defaults
from runtime.playbook.model import Arc, Each, Knob, Place, Playbook, Publishes, Retry, Slo
from runtime.playbook.parse import PlaybookFault, PlaybookFaults, parse
from runtime.run.events import ERROR_CLASSES


def only_fault_of(text: str) -> PlaybookFault:
    [fault] = faults_of(text)
    return fault


@pytest.fixture(scope="module")
def orders() -> Playbook:
    return parse(BASE)


def test_the_head_of_a_playbook_is_typed(orders: Playbook) -> None:
    assert (orders.path, orders.objective, orders.secrets) == (
        "sales/orders",
        "time",
        ("api_token",),
    )
    assert (orders.deadline_s, orders.labels) == (7200.0, {"team": "sales"})
    assert [(i.name, i.type, i.default, i.required) for i in orders.inputs] == [
        ("source", "string", "orders.parquet", False),
        ("limit", "integer", 100, False),
        ("mode", "string", "full", False),
    ]


def test_a_step_is_typed(orders: Playbook) -> None:
    step = orders.step("enrich")
    assert step.tool == {"kind": "python", "call": "orders:enrich"}
    assert step.each == Each("{{ load }}", batch=25, in_flight=2, failures_allow=0.01)
    assert step.retry == Retry(3, "exponential", 0.2, 10.0, "full", ("transient", "timeout"))
    assert step.args == {"mode": "{{ workload.mode }}", "index": "{{ batch.index }}"}
    assert step.slo == Slo(20.0, 0.995)
    assert step.arcs == (
        Arc("send", when="enrich.failed == 0"),
        Arc("mend", otherwise=True),
        Arc("alarm", on=("permanent", "data")),
    )
    assert (step.split, step.effect, step.runs_on) == ("exclusive", "idempotent", "cpu-small")
    assert step.knob("each.batch") == Knob("each.batch", 10, 100)
    assert step.knob("runs_on") == Knob("runs_on", choices=("cpu-small", "cpu-large"))
    assert step.knob("timeout") is None


def test_a_step_remembers_where_its_keys_stand(orders: Playbook) -> None:
    step = orders.step("enrich")
    assert (step.place, step.places["tool.call"]) == (Place(19, 11), Place(25, 32))


def test_a_step_publishes_keeps_texts_back_and_sets_values(orders: Playbook) -> None:
    assert orders.step("send").publishes == Publishes(
        "sales.orders", "parquet", "contracts/orders.yaml"
    )
    assert orders.step("alarm").record_text is False
    assert orders.step("mend").sets == {"sent": 0}
    assert orders.step("audit").tool == {
        "kind": "http",
        "url": "https://audit.example/{{ workload.source }}",
        "method": "PUT",
        "headers": {"Authorization": {"secret": "api_token"}},
        "json": {"rows": "{{ load.rows }}"},
        "errors": {"404": "data"},
    }


def test_the_steps_own_knob_values_have_the_registrys_names(orders: Playbook) -> None:
    assert defaults(orders.step("enrich")) == {
        "each.batch": 25,
        "each.in_flight": 2,
        "retry.attempts": 3,
        "retry.on": ["transient", "timeout"],
        "retry.initial": 0.2,
        "retry.budget": None,
        "timeout": None,
        "runs_on": "cpu-small",
        "hedge": 5.0,
        "alternatives": "default",
        "start.hours": "any",
    }
    assert set(defaults(orders.step("enrich"))) == set(KNOBS)
    assert "each.batch" not in defaults(orders.step("load"))


@pytest.mark.parametrize(
    ("next_", "arcs", "split"),
    [
        ("b", (Arc("b"),), "all"),
        ("[b, c]", (Arc("b"), Arc("c")), "all"),
        ("{to: b}", (Arc("b"),), "all"),
        ("[b, {to: c, on: lost}]", (Arc("b"), Arc("c", on=("lost",))), "all"),
        (
            '[{to: b, when: "a"}, {to: c, otherwise: true}]',
            (Arc("b", when="a"), Arc("c", otherwise=True)),
            "exclusive",
        ),
    ],
)
def test_next_has_three_shapes(next_: str, arcs: tuple[Arc, ...], split: str) -> None:
    text = f"""
    - step: a
      next: {next_}
    - step: b
      next: c
    - step: c
    """
    step = parse(steps(text)).step("a")
    assert (step.arcs, step.split) == (arcs, split)


def test_an_arc_may_catch_every_class_of_failure_but_a_cancellation() -> None:
    assert {*CATCHABLE, "cancelled"} == set(ERROR_CLASSES)


def test_split_may_be_inclusive() -> None:
    text = """
    - step: a
      split: inclusive
      next: [{to: b, when: "true"}, {to: c, when: "a"}]
    - step: b
    - step: c
      join: {all: true}
    """
    assert parse(steps(text)).step("a").split == "inclusive"


@pytest.mark.parametrize(
    ("tool", "effect"),
    [
        ("{kind: shell, run: ls}", "once"),
        ('{kind: http, url: "http://x", method: POST}', "once"),
        ('{kind: http, url: "http://x", method: PATCH}', "once"),
        ('{kind: http, url: "http://x", method: PUT}', "idempotent"),
        ('{kind: http, url: "http://x", method: DELETE}', "idempotent"),
        ('{kind: http, url: "http://x"}', "idempotent"),
        ('{kind: sql, query: "select 1"}', "idempotent"),
        ('{kind: python, code: "result = 1"}', "idempotent"),
    ],
)
def test_what_may_not_be_safe_to_repeat_is_tried_once(tool: str, effect: str) -> None:
    assert parse(steps(f"- step: a\n  tool: {tool}")).step("a").effect == effect
    said = parse(steps(f"- step: a\n  tool: {tool}\n  effect: none"))
    assert said.step("a").effect == "none"


def test_words_of_yaml_1_1_are_words_and_numbers_have_no_octal_surprise() -> None:
    playbook = parse(steps("- step: a", "workload: {x: on, y: yes, z: 017, w: 0o17, v: 1e3}\n"))
    values = [(item.default, item.type) for item in playbook.inputs]
    assert values == [
        ("on", "string"), ("yes", "string"), (17, "integer"), (15, "integer"), (1000.0, "number"),
    ]  # fmt: skip


def test_an_input_without_a_default_must_be_given() -> None:
    before = "workload: {a: {type: string}, b: {type: string, required: false}, c: null}\n"
    playbook = parse(steps("- step: a", before))
    assert [item.required for item in playbook.inputs] == [True, False, False]


def test_an_anchor_may_be_used_again() -> None:
    text = """
    - step: a
      tool: &t {kind: python, call: m:f}
      next: b
    - step: b
      tool: *t
    """
    playbook = parse(steps(text))
    assert playbook.step("a").tool == playbook.step("b").tool


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: [1, 2\nb: 3\n", 2, 2, "expected ',' or ']'"),
        ("a: b: c\n", 1, 5, "mapping values are not allowed here"),
        ("a: 'x\n", 2, 1, "unexpected end of stream"),
        ("a: 1\n\tb: 2\n", 2, 1, "cannot start any token"),
        ("a: @x\n", 1, 4, "cannot start any token"),
        ("a: 1\nb: \x01\n", 2, 4, "a character that may not stand"),
        ("a: 1\n---\nb: 2\n", 2, 1, "holds one document"),
        ("a: " + "[" * 60 + "]" * 60, 1, 44, "nested deeper"),
    ],
)
def test_a_syntax_error_stops_at_itself(text: str, line: int, column: int, message: str) -> None:
    fault = only_fault_of(text)
    assert (fault.line, fault.column) == (line, column)
    assert message in fault.message


def test_a_text_that_grows_by_aliases_is_refused() -> None:
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "more than" in only_fault_of("\n".join(rows)).message


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words\n", "- a\n- b\n"])
def test_a_text_that_is_no_mapping_is_no_playbook(text: str) -> None:
    assert "a playbook is a mapping" in only_fault_of(text).message


STEP = '- step: a\n  tool: {kind: python, call: "m:f"}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tune: {retry.on: [oops]}", "unknown error class"),
        ("tune: {retry.on: {min: 1, max: 2}}", "retry.on has choices, not bounds"),
        (
            "retry: {on: [data]}\n  tune: {retry.on: [transient]}",
            "the step's own retry.on, data, is not among the choices",
        ),
        (
            "retry: {initial: 5s}\n  tune: {retry.initial: {min: 1s, max: 2s}}",
            "the step's own retry.initial, 5, is outside 1 to 2",
        ),
    ],
)
def test_what_is_retried_is_tuned_within_what_the_author_wrote(text: str, message: str) -> None:
    assert message in only_fault_of(steps(STEP + "  " + text)).message


def test_the_classes_tried_again_and_the_first_delay_may_be_tuned() -> None:
    text = "retry: {on: transient, initial: 1s}\n"
    text += "  tune: {retry.on: [transient, throttled], retry.initial: {min: 200ms, max: 1m}}"
    step = parse(steps(STEP + "  " + text)).steps[0]
    assert step.tune == (
        Knob("retry.on", choices=("transient", "throttled")), Knob("retry.initial", 0.2, 60.0)
    )  # fmt: skip


def test_a_join_that_waits_for_all_has_no_losers_to_cancel() -> None:
    fault = only_fault_of(steps(STEP + "  join: {all: true, losers: cancel}"))
    assert (fault.line, fault.column) == (7, 31)
    assert fault.message == "a join that waits for all has no losers"
    assert parse(steps(STEP + "  join: {all: true, within: 5m, losers: cancel}"))


@pytest.mark.parametrize("kind", ["agent"])
def test_a_tool_of_the_design_that_does_not_work_yet_is_refused(kind: str) -> None:
    fault = only_fault_of(steps(f"- step: a\n  tool: {{kind: {kind}}}"))
    assert (fault.line, fault.column) == (6, 18)
    assert fault.message == f"tool kind {kind} is not supported yet"


WHOLE = [
    # several steps, or a shape that another fault would hide: place, message, hint
    ("- step: item", 5, 11, "item is a reserved word", ""),
    ("- step: load-data", 5, 11, "is no step name", "letters, digits and _"),
    ("- tool: {kind: shell, run: ls}", 5, 5, "a step needs a name", ""),
    ("- load", 5, 5, "a step must be a mapping", ""),
    ("- step: a\n- step: a", 6, 11, "a second step named a", "line 5"),
    ("- step: a\n  next: a", 6, 11, "back to a is always taken", "max: 10"),
    ("- step: a\n  next: b\n- step: b\n  next: a", 8, 11, "back to a is always taken", "max: 10"),
    ("- step: a\n  retry: {attempts: 2}", 6, 5, "only routes: retry", "give the step a tool"),
    ("- step: a\n  each: {in: '{{ [1] }}'}", 6, 5, "only routes: each", ""),
    ("- step: a\n  next: 5", 6, 11, "next must be a text", ""),
    ("- step: a\n  next: []", 6, 11, "next names no step", ""),
    ("- step: a\n  next: [b, b]\n- step: b", 6, 15, "b is here twice", ""),
    ("- step: a\n  next: {when: 'a'}", 6, 11, "an arc says where it leads", ""),
    ("- step: a\n  split: inclusive\n  next: b\n- step: b", 6, 5, "split needs arcs", ""),
    (
        "- step: a\n  next: [{to: b, otherwise: true}]\n- step: b",
        6,
        17,
        "another arc with when",
        "",
    ),
    ("- step: a\n  tool: {call: 'm:f'}", 6, 11, "a tool says its kind", "add kind"),
    ("- step: a\n  tool: {kind: python}", 6, 11, "needs call or code", ""),
    ("- step: a\n  tool: {kind: python, call: f}", 6, 32, "is no call", "module:function"),
    ("- step: a\n  tool: {kind: python, call: 'm:f', code: x}", 6, 39, "one of call and code", ""),
    ("- step: a\n  tool: {kind: http}", 6, 11, "needs url", ""),
    ("- step: a\n  tool: {kind: shell, run: 'ls {{ ctx }}'}", 6, 34, "never templated", "$name"),
    ("- step: a\n  tool: {kind: sql, query: 'x {{ run }}'}", 6, 33, "SQL is never templated", ""),
    ("- step: a\n  args: {}", 6, 5, "unknown key args", "here it is called with"),
    ("- step: a\n  set: {x: {{ a }}}", 6, 15, "a key must be a word", "quote the template"),
    ("- step: a\n  set: {x: '{{ item }}'}", 6, 18, "item is known in the tool", ""),
    ("- step: a\n  set: {x: {secret: k}}", 6, 14, "cannot be put into the context", ""),
    ("- step: a\n  set: {x: !!int 5}", 6, 14, "tags are not part", ""),
    ("- step: a\n  set: {x: *nope}", 6, 14, "there is no anchor", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), WHOLE)
def test_a_fault_of_the_whole_is_named_at_its_place(
    text: str, line: int, column: int, message: str, hint: str
) -> None:
    found = faults_of(steps(text))
    said = [f for f in found if (f.line, f.column) == (line, column) and message in f.message]
    assert said, found
    assert hint in said[0].hint
    secret = "secret k is not declared"
    assert [f for f in found if f is not said[0] and f.message != secret] == []


@pytest.mark.parametrize(
    "text",
    [
        '    x: "a\\tb \\u00e9 {{ §nope }}"\n',
        "    x: 'it''s {{ §nope }}'\n",
        "    x: |\n      first\n        then {{ §nope }}\n",
        "    x: >-\n      folded\n      on {{ §nope }}\n\n      {{ 1 }}\n",
        "    x: plain\n      and on {{ §nope }}\n",
        '    x: "over\n      lines \\\n      and {{ §nope }}"\n',
        "    x: [1, {y: '{{ 1 }} {{ §nope }}'}]\n",
        "    x: é {{ 'é' ~ §nope }}\n",
    ],
)
def test_a_fault_points_into_the_expression_however_the_text_is_written(text: str) -> None:
    whole = steps("- step: a\n  set:\n" + text)
    before = whole[: whole.index("§")].split("\n")
    fault = only_fault_of(whole.replace("§", ""))
    place = (len(before), len(before[-1]) + 1)
    assert (fault.line, fault.column, fault.message) == (*place, "unknown name nope")


def test_exclusive_branches_may_set_the_same_key_and_parallel_ones_may_not() -> None:
    def playbook(next_: str) -> str:
        return steps(f"""
        - step: a
          next: {next_}
        - step: b
          set: {{x: 1}}
        - step: c
          set: {{x: 2}}
        """)

    parse(playbook("[{to: b, when: a}, {to: c, otherwise: true}]"))
    parse(playbook("[b, {to: c, on: data}]"))
    assert "b may set x at the same time" in only_fault_of(playbook("[b, c]")).message


def test_faults_read_like_a_compilers() -> None:
    with pytest.raises(PlaybookFaults) as caught:
        parse(steps("- step: a\n  next: b\n- step: c"), name="p.yaml")
    assert str(caught.value).splitlines() == [
        "p.yaml:6:11 workflow[0].next: there is no step b (known: a, c)",
        "p.yaml:7:11 workflow[1].step: no arc leads to c (name it in the next of the step "
        "before it)",
    ]
