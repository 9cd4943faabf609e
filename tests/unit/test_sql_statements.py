"""SQL is cut where a statement ends, and binds names where they are meant: laws and a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.tools.statements import statements

QUIET = st.sampled_from([
    "'$a; it''s'", '"$b;"', "-- $c;\n", "/* $d; /* ; */ $e */", "$$ $f; $$", "$x$ $g; $$ $x$",
    "E'\\'$h;'", "`$i;`",
])  # fmt: skip
"""What stands in strings, quoted names and comments, where no name is bound."""
PLAIN = st.sampled_from(["select 1", "a::int", "t.x", "1.5", "(", ")", "\n", "a - b", "j ->> 'k'"])
NAME = st.sampled_from(["one", "two", "_three", "ünd"])
PIECE = st.one_of(
    QUIET.map(lambda text: ("quiet", text)), PLAIN.map(lambda text: ("plain", text)),
    NAME.map(lambda name: ("name", name)), st.just(("end", ";")),
)  # fmt: skip


def written(pieces: list[tuple[str, str]]) -> str:
    return " ".join(f"${text}" if kind == "name" else text for kind, text in pieces)


@given(st.lists(PIECE, max_size=20))
def test_names_are_bound_where_they_are_meant_and_nowhere_else(
    pieces: list[tuple[str, str]],
) -> None:
    found = statements(written(pieces))
    meant = [text for kind, text in pieces if kind == "name"]
    assert [name for statement in found for name in statement.parameters] == meant


@given(st.lists(PIECE, max_size=20))
def test_nothing_but_the_ends_and_what_says_nothing_is_lost(
    pieces: list[tuple[str, str]],
) -> None:
    parts: list[list[tuple[str, str]]] = [[]]
    for piece in pieces:
        if piece[0] == "end":
            parts.append([])
        else:
            parts[-1].append(piece)
    saying = [
        written(part).strip() for part in parts
        if any(text.strip() and not text.startswith(("--", "/*")) for _, text in part)
    ]  # fmt: skip
    assert [statement.text.strip() for statement in statements(written(pieces))] == saying


@pytest.mark.parametrize(
    ("query", "texts", "names"),
    [
        ("select $a, $b, $a", ["select $a, $b, $a"], ("a", "b")),
        (" ; ;select 1;; -- end", ["select 1"], ()),
        ("select a$b, $1", ["select a$b, $1"], ()),
        ("select 'open; $a", ["select 'open", "$a"], ("a",)),
        ("", [], ()),
    ],
)
def test_cases_worth_a_look(query: str, texts: list[str], names: tuple[str, ...]) -> None:
    found = statements(query)
    assert [statement.text for statement in found] == texts
    assert tuple(name for statement in found for name in statement.names) == names


def test_backslashes_escape_where_the_database_says_so() -> None:
    (one,) = statements(r"select 'it\'s $a;', $b", backslashes=True)
    assert one.names == ("b",)
    assert [s.names for s in statements(r"select 'c:\', $b")] == [("b",)]


@pytest.mark.parametrize(
    ("query", "verb"),
    [("-- a\n /* b */ SELECT 1", "select"), ("(select 1)", "select"), ("$a", ""),
     ("insert into t select 1", "insert")],
)  # fmt: skip
def test_the_verb_is_the_first_word(query: str, verb: str) -> None:
    (one,) = statements(query)
    assert one.verb == verb


def test_parameters_are_written_as_a_database_wants_them() -> None:
    (one,) = statements("select $a, '$a', $b")
    assert one.placed(lambda name: f"{{{name}:Int64}}") == "select {a:Int64}, '$a', {b:Int64}"
