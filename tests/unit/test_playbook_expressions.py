"""Expressions: typed where whole, strict about names, bounded, and unable to change a value."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Mapping

import minijinja
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.playbook.expressions import RESULT_LIMIT, Expressions, _environment
from runtime.playbook.faults import ExpressionFault
from runtime.playbook.syntax import EXPRESSION_LIMIT, FILTERS, TESTS, TEXT_LIMIT
from runtime.playbook.values import ABSENT, SKIPPED

EXPRESSIONS = Expressions()
NAMES = {
    "load": {"rows": 3, "empty": None, "items": [1, 2], "name": "ada", "deep": {"er": [{"x": 1}]}},
    "workload": {"names": ["a", "b"], "n": 5},
    "gone": SKIPPED,
    "expression": 1,
    "args": 2,
}

VALUES = [
    ("{{ load.rows }}", 3),
    ("{{load.rows}}", 3),
    ("{{ load.rows }}\n", 3),
    ("{{ load }} rows", json.dumps(NAMES["load"]) + " rows"),
    ("{{ load.rows }} of {{ workload.n }}", "3 of 5"),
    ("{{ load.name }}!", "ada!"),
    ("{{ load.empty }}", None),
    ("is {{ load.empty }}, {{ true }}", "is null, true"),
    ("{{ load.items }}", [1, 2]),
    ("{{ load.items | length }}", 2),
    ("{{ load.rows + 1 }}", 4),
    ("{{ load.rows > 2 and workload.n is odd }}", True),
    ("{{ workload.names | join(', ') }}", "a, b"),
    ("{{ {'a': {'b': workload.n}} }}", {"a": {"b": 5}}),
    ("{{ '}}' }}", "}}"),
    ("{{ '{{' }}", "{{"),
    ("{{ load.deep.er[0].x }}", 1),
    ("{{ load['rows'] }}", 3),
    ("{{ 0 if gone.skipped else gone.rows }}", 0),
    ("{{ gone }}", None),
    ("{{ [gone, gone is none] }}", [None, True]),
    ("{{ gone.skipped }}", True),
    ("{{ load.skipped }}", False),
    ("{{ expression.skipped }}", False),
    ("{{ [not expression.skipped, gone.skipped] }}", [True, True]),
    ("{{ 0 if expression.skipped else expression }}", 1),
    ("{{ [gone, gone . skipped, expression.skipped, expression] }}", [None, True, False, 1]),
    ("{{ gone.rows | default(7) }}", 7),
    ("{{ gone.rows is defined }}", False),
    ("{{ range(3) }}", [0, 1, 2]),
    ("{{ -load.rows }}", -3),
    ("{{ load.rows / 2 }}", 1.5),
    ("{{ none }}", None),
    ("{{ expression + args }}", 3),
    ("{{ load.items | map('string') | list }}", ["1", "2"]),
    ("no template, {% if %} ${#x[@]} {# #}", "no template, {% if %} ${#x[@]} {# #}"),
    ("{{ '<é>' ~ load.rows }}", "<é>3"),
    ("{{ workload.n | tojson }}", "5"),
]

REFUSED = [
    ("{{ nope }}", "unknown name nope", 3),
    ("{{ lod.rows }}", "unknown name lod", 3),
    ("a {{ load.nope }}", "load has no nope", 5),
    ("{{ [load.nope] }}", "load has no nope", 4),
    ("{{ load.empty.x }}", "load.empty is null", 3),
    ("{{ load.keys }}", "load has no keys", 3),
    ("{{ load.name.upper }}", "load.name has no upper", 3),
    ("{{ load.nope + 1 }}", "load has no nope", 3),
    ("{{ load.items[9] }}", "has no value", 2),
    ("{{ 1 if false }}", "has no value", 2),
    ("{{ loop }}", "unknown name loop", 3),
    ("{{ undefined }}", "unknown name undefined", 3),
    ("{{ load.rows + 'a' }}", "unsupported types", 3),
]

MALFORMED = [
    ("x {{ load.rows", "never closed", 2),
    ("{{ load.rows }", "never closed", 0),
    ("{{ }}", "empty", 2),
    ("{{ load.rows + }}", "unexpected end of input", 13),
    ("{{ a b }}", "unexpected input after expression", 5),
    ("é {{ 'é' + }}", "unexpected end of input", 9),
    ("{{- load.rows }}", "whitespace control", 2),
    ("{{ load.keys() }}", "methods cannot be called", 12),
    ("{{ load['clear']() }}", "methods cannot be called", 16),
    ("{{ (load)() }}", "methods cannot be called", 9),
    ("{{ load | nofilter }}", "there is no filter nofilter", 10),
    ("{{ load is notest }}", "there is no test notest", 11),
    ("{{ load is not notest }}", "there is no test notest", 15),
    ("{{ [0] * 9 }}", "a list cannot be repeated", 7),
    ("{{ load | attr('clear') }}", "there is no filter attr", 10),
    ("{{ __class__ }}", "not allowed", 3),
    ("{{ " + "a" * EXPRESSION_LIMIT + " }}", "at most", 2),
    ("{{ a }}" * (TEXT_LIMIT // 7 + 1), "at most", 0),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_template_gives_its_value(text: str, value: object) -> None:
    EXPRESSIONS.check(text)
    rendered = EXPRESSIONS.render(text, NAMES)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(("text", "message", "offset"), REFUSED)
def test_a_template_that_names_nothing_is_a_fault(text: str, message: str, offset: int) -> None:
    EXPRESSIONS.check(text)
    with pytest.raises(ExpressionFault) as caught:
        EXPRESSIONS.render(text, NAMES)
    assert message in caught.value.message
    assert caught.value.offset == offset


@pytest.mark.parametrize(("text", "message", "offset"), MALFORMED)
def test_a_malformed_template_is_refused_before_it_is_used(
    text: str, message: str, offset: int
) -> None:
    with pytest.raises(ExpressionFault) as caught:
        EXPRESSIONS.check(text)
    assert message in caught.value.message
    assert caught.value.offset == offset


def test_an_unknown_name_says_which_name_was_probably_meant() -> None:
    with pytest.raises(ExpressionFault) as caught:
        EXPRESSIONS.render("{{ worklod.n }}", NAMES)
    assert (caught.value.unknown, caught.value.hint) == ("worklod", "did you mean workload?")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("load.rows == 3", True),
        ("load.rows > 3 or workload.n == 5", True),
        ("not gone.skipped", False),
        ("load.empty", False),
        ("workload.names", True),
        ("'a' in workload.names", True),
        ("true", True),
        ("-load.rows < 0", True),
        ("load.empty is none", True),
    ],
)
def test_a_condition_is_a_bare_expression(text: str, holds: bool) -> None:
    EXPRESSIONS.check(text, bare=True)
    assert EXPRESSIONS.condition(text, NAMES) is holds


def test_a_condition_in_braces_is_refused_with_a_hint() -> None:
    with pytest.raises(ExpressionFault, match="leave out the"):
        EXPRESSIONS.check("{{ load.rows }}", bare=True)


def test_values_are_rendered_however_deeply_nested_and_the_rest_stays() -> None:
    value = {"a": ["{{ load.rows }}", {"b": "n={{ workload.n }}"}, 1, None], "c": {"secret": "k"}}
    assert EXPRESSIONS.render(value, NAMES) == {
        "a": [3, {"b": "n=5"}, 1, None],
        "c": {"secret": "k"},
    }


def test_a_whole_path_hands_out_the_value_itself_without_a_copy() -> None:
    assert EXPRESSIONS.render("{{ load }}", NAMES) is NAMES["load"]


def test_only_the_names_that_are_used_are_asked_for() -> None:
    class OnDemand(Mapping[str, object]):
        def __init__(self) -> None:
            self.asked: list[str] = []

        def __getitem__(self, name: str) -> object:
            self.asked.append(name)
            return NAMES[name]

        def __iter__(self) -> Iterator[str]:
            return iter(NAMES)

        def __len__(self) -> int:
            return len(NAMES)

    names = OnDemand()
    assert EXPRESSIONS.render("{{ load.rows + workload.n }}", names) == 8
    assert set(names.asked) == {"load", "workload"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ range(100000) | list | sort | list }}",
        "{{ (workload.names) * 100000000 }}",
        "{{ [(workload.names) * 90000, (workload.names) * 90000] }}",
        "{{ ('a' * 90000) | replace('a', 'b' * 90000) }}",
        "{{ 'a' | indent(1000000000) }}",
    ],
)
def test_an_expression_that_makes_too_much_is_stopped_soon(text: str) -> None:
    before = time.process_time()
    with pytest.raises(ExpressionFault):
        EXPRESSIONS.render(text, NAMES)
    assert time.process_time() - before < 5


def test_a_text_may_not_grow_beyond_its_limit() -> None:
    names = {"big": "x" * (RESULT_LIMIT // 2 + 1)}
    with pytest.raises(ExpressionFault, match="longer than"):
        EXPRESSIONS.render("{{ big }}{{ big }}", names)


@pytest.mark.parametrize(
    "text",
    [
        "{{ load.items | reverse | list }}",
        "{{ load | items }}",
        "{{ load.deep.er | map(attribute='x') | list }}",
        "{{ load['pop'] }}",
        "{{ load.items | sort(reverse=true) }}",
    ],
)
def test_looking_at_a_value_never_changes_it(text: str) -> None:
    before = copy.deepcopy(NAMES)
    EXPRESSIONS.render(text, NAMES)
    assert before == NAMES


def test_every_filter_and_test_of_the_language_is_one_that_minijinja_has() -> None:
    environment = _environment(1000)

    def kind(expression: str) -> str:
        try:
            environment.eval_expr(expression)
        except minijinja.TemplateError as error:
            return error.kind
        return ""

    assert kind("1|nofilter") == "UnknownFilter"
    assert kind("1 is notest") == "UnknownTest"
    assert [name for name in FILTERS if kind(f"[1]|{name}") == "UnknownFilter"] == []
    assert [name for name in TESTS if kind(f"1 is {name}") == "UnknownTest"] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{{ load.rows }}", ["load.rows"]),
        ("a {{ x.y.z + w['k'].v }} {{ q[r] }}", ["x.y.z", "w", "q", "r"]),
        ("{{ x | map(attribute='v') | default(d) }}", ["x", "d"]),
        ("{{ 'x.y' ~ {'k': v} }}", ["v"]),
        ("{{ a if b is defined and not c else d is not odd }}", ["a", "b", "c", "d"]),
        ("{{ range(n) }} {{ range }}", ["n", "range"]),
        ("{{ true and none }}", []),
    ],
)
def test_the_names_of_a_text_are_found(text: str, names: list[str]) -> None:
    assert [str(name) for name in EXPRESSIONS.names(text)] == names


def test_names_are_found_where_minijinja_finds_them() -> None:
    environment = _environment(1000)
    for text, _ in VALUES:
        theirs = environment.undeclared_variables_in_str(text.replace("{%", "").replace("{#", ""))
        ours = {name.path[0] for name in EXPRESSIONS.names(text)}
        assert ours == theirs - {"range"}, text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    """Equality of JSON values, whatever the kind of number."""
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("text", ["2**80", "-(2**70)", "[10**18 * 10**18]"])
def test_a_whole_number_that_no_event_can_carry_is_a_fault(text: str) -> None:
    with pytest.raises(ExpressionFault, match="too large a whole number"):
        EXPRESSIONS.render(f"{{{{ {text} }}}}", {})
    assert EXPRESSIONS.render("{{ [2**63, -(2**63)] }}", {}) == [2**63, -(2**63)]


def test_a_number_that_is_not_finite_is_a_fault_and_not_null() -> None:
    with pytest.raises(ExpressionFault, match="no finite number"):
        EXPRESSIONS.render("{{ 1e308 * 10 }}", {})


@given(value=json_values)
def test_any_json_value_passes_through_an_expression_unchanged(value: object) -> None:
    assert EXPRESSIONS.render("{{ x }}", {"x": value}) == value
    assert same(value, EXPRESSIONS.render("{{ [x][0] }}", {"x": value}))


@given(text=st.text(alphabet="{}ab.|'\"()[]-+ \\\n0é", max_size=30))
def test_any_text_is_rendered_or_is_a_fault(text: str) -> None:
    try:
        EXPRESSIONS.check(text)
        EXPRESSIONS.render(text, {"a": 1, "b": {"a": [0]}})
        offset = 0
    except ExpressionFault as fault:
        offset = fault.offset
    assert 0 <= offset <= len(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ later | default(0) }}", 0),
        ("{{ later.rows | default(0) + 1 }}", 1),
        ("{{ later.rows if later is defined else 'none' }}", "none"),
        ("{{ later is defined }}", False),
    ],
)
def test_what_has_no_value_yet_can_be_asked_for(text: str, value: object) -> None:
    assert EXPRESSIONS.render(text, {"later": ABSENT}) == value


@pytest.mark.parametrize("text", ["{{ later }}", "{{ later.rows }}", "{{ later.rows + 1 }}"])
def test_what_has_no_value_yet_cannot_be_counted_on(text: str) -> None:
    with pytest.raises(ExpressionFault, match="later has not run yet"):
        EXPRESSIONS.render(text, {"later": ABSENT})
