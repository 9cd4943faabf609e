"""What an expression of an `each` step knows of its batch."""

from __future__ import annotations

import pytest

from runtime.data.reference import ARROW, make
from runtime.engine.batch import batch_names
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault
from runtime.run.events import Json
from runtime.run.state import Try

ITEMS = ["a", "b", "c"]
TABLE = make("ab" * 32, "arrow", ARROW, 9, rows=3)


def rendered(text: str, start: int, count: int, source: Json = ITEMS) -> Json:
    tried = Try("t", "s", 2, 1, 1, 0.0, "", start, count, 0, None, None, "")
    return Expressions().render(text, batch_names(tried, source))


def test_a_batch_has_a_number_a_start_and_a_count() -> None:
    assert rendered("{{ batch }}", 1, 2) == {"index": 2, "start": 1, "count": 2}


def test_in_a_batch_of_one_item_is_the_item() -> None:
    assert rendered("{{ item }}", 1, 1) == "b"


@pytest.mark.parametrize(
    ("count", "source", "why"),
    [(2, ITEMS, "this batch has 2 items"), (1, TABLE, "the items travel by reference")],
)
def test_where_there_is_no_item_the_error_says_why(count: int, source: Json, why: str) -> None:
    with pytest.raises(ExpressionFault, match=why):
        rendered("{{ item }}", 0, count, source)
