"""A contract: what a data product promises its readers, and the check that it holds.

::

    columns:
      patient_id: {type: string, nullable: false, unique: true}
      age: {type: integer, min: 0, max: 120}
    closed: true                    # no other columns; default false
    rows: {min: 1}
    checks:
      - {name: no child smokes, sql: "select * from product where age < 10 and smoker"}
      - {name: mean age, sql: "select avg(age) between 20 and 80 from product", expect: true}

A check's SQL is DuckDB's and sees the table as ``product``: it must find no row, or with
``expect`` the one value that is expected. Every check is made and told, good or bad.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import DataError, Permanent

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS: Final = {"columns", "closed", "rows", "checks", "description"}
_COLUMN_KEYS: Final = {"type", "nullable", "min", "max", "unique", "description"}
_CHECK_KEYS: Final = {"name", "sql", "expect"}
TYPES: Final = {
    "string": ("is_string", "is_large_string", "is_string_view", "is_dictionary"),
    "integer": ("is_integer",),
    "number": ("is_integer", "is_floating", "is_decimal"),
    "boolean": ("is_boolean",),
    "date": ("is_date",),
    "timestamp": ("is_timestamp",),
    "binary": ("is_binary", "is_large_binary", "is_fixed_size_binary"),
    "list": ("is_list", "is_large_list", "is_fixed_size_list"),
    "struct": ("is_struct",),
}
"""A contract's type → the Arrow types that satisfy it; Arrow's own names hold exactly."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column promises."""

    name: str
    type: str = "any"
    nullable: bool = True
    min: Any = None
    max: Any = None
    unique: bool = False


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A query that must find no row, or the expected value."""

    name: str
    sql: str
    expect: Any = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The whole promise."""

    columns: tuple[Column, ...] = ()
    closed: bool = False
    min_rows: int | None = None
    max_rows: int | None = None
    checks: tuple[SqlCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One check as it went."""

    name: str
    ok: bool
    observed: Any
    expected: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class ContractBroken(DataError):
    """The data does not keep its contract, so it was not published."""

    def __init__(self, product: str, checks: list[Check]) -> None:
        failed = [check for check in checks if not check.ok]
        told = "; ".join(f"{c.name}: {c.observed} where {c.expected}" for c in failed)
        super().__init__(
            f"{product} breaks its contract in {len(failed)} of {len(checks)}: {told}"
        )
        self.checks = [{**check.to_json(), "product": product} for check in failed]


def parse(text: str, name: str = "contract") -> Contract:
    """Read a contract.

    Raises:
        Permanent: it is not YAML, or not a contract; the message says where.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise Permanent(f"{name} is not YAML: {error}") from error
    data = _mapping(data or {}, _KEYS, name)
    rows = _mapping(data.get("rows") or {}, {"min", "max"}, f"{name}: rows")
    columns, checks = data.get("columns") or {}, data.get("checks") or []
    if not isinstance(columns, dict):
        raise Permanent(f"{name}: columns must map a name to what it promises")
    if not isinstance(checks, list):
        raise Permanent(f"{name}: checks must be a list of {{name, sql, expect}}")
    return Contract(
        tuple(_column(str(key), value, name) for key, value in columns.items()),
        _flag(data, "closed", False, name),
        _count(rows, "min", f"{name}: rows"),
        _count(rows, "max", f"{name}: rows"),
        tuple(_sql_check(value, name) for value in checks),
    )


def check(contract: Contract, table: pa.Table) -> list[Check]:
    """Make every check of the contract on a table."""
    return [*_rows(contract, table), *_columns(contract, table), *_queries(contract, table)]


def _mapping(value: Any, keys: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Permanent(f"{where} must be a mapping, not {value!r}")
    unknown = sorted(str(key) for key in value if key not in keys)
    if unknown:
        raise Permanent(f"{where}: unknown {', '.join(unknown)}; known are {sorted(keys)}")
    return value


def _flag(fields: dict[str, Any], key: str, default: bool, where: str) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise Permanent(f"{where}: {key} must be true or false, not {value!r}")
    return value


def _count(fields: dict[str, Any], key: str, where: str) -> int | None:
    value = fields.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise Permanent(f"{where}: {key} must be a number of rows, not {value!r}")
    return value


def _column(name: str, value: Any, where: str) -> Column:
    if isinstance(value, str):
        value = {"type": value}
    where = f"{where}: column {name}"
    fields = _mapping(value or {}, _COLUMN_KEYS, where)
    _flag(fields, "nullable", True, where)
    _flag(fields, "unique", False, where)
    if not isinstance(fields.get("type", "any"), str):
        raise Permanent(f"{where}: type must be a word, not {fields['type']!r}")
    return Column(name, **{key: part for key, part in fields.items() if key != "description"})


def _sql_check(value: Any, where: str) -> SqlCheck:
    fields = _mapping(value, _CHECK_KEYS, f"{where}: check")
    if not isinstance(fields.get("sql"), str):
        raise Permanent(f"{where}: check {fields.get('name', '')!r} needs `sql`")
    return SqlCheck(str(fields.get("name", fields["sql"])), fields["sql"], fields.get("expect"))


def _rows(contract: Contract, table: pa.Table) -> Iterator[Check]:
    low, high, count = contract.min_rows, contract.max_rows, table.num_rows
    if low is not None:
        yield Check("rows: min", count >= low, count, f"at least {low}")
    if high is not None:
        yield Check("rows: max", count <= high, count, f"at most {high}")


def _columns(contract: Contract, table: pa.Table) -> Iterator[Check]:
    if contract.closed:
        extra = sorted(set(table.column_names) - {c.name for c in contract.columns})
        yield Check("columns: closed", not extra, extra, "no other columns")
    for column in contract.columns:
        if table.column_names.count(column.name) != 1:
            found = table.column_names.count(column.name)
            yield Check(f"{column.name}: exists", False, found, "one column of that name")
            continue
        yield from _column_checks(column, table.column(column.name))


def _column_checks(column: Column, values: pa.ChunkedArray) -> Iterator[Check]:
    import pyarrow.compute as pc

    name = column.name
    if column.type != "any":
        yield Check(f"{name}: type", _is(values.type, column.type), str(values.type), column.type)
    if not column.nullable:
        yield Check(f"{name}: nullable", values.null_count == 0, values.null_count, "0 nulls")
    if column.unique:
        known = values.drop_null()
        again = len(known) - pc.count_distinct(known).as_py()
        yield Check(f"{name}: unique", again == 0, again, "0 repeated values")
    if column.min is not None:
        yield _bound(f"{name}: min", pc.min, values, column.min, "at least")
    if column.max is not None:
        yield _bound(f"{name}: max", pc.max, values, column.max, "at most")


def _bound(name: str, extreme: Any, values: pa.ChunkedArray, bound: Any, words: str) -> Check:
    """Compare the column's extreme with the bound; a column of nulls has none and passes."""
    found = extreme(values).as_py()
    expected = f"{words} {bound}"
    if found is None:
        return Check(name, True, None, expected)
    try:
        ok = found >= bound if words == "at least" else found <= bound
    except TypeError:
        return Check(name, False, repr(found), f"{expected}, of the same type")
    return Check(name, bool(ok), _plain(found), expected)


def _is(found: pa.DataType, wanted: str) -> bool:
    import pyarrow as pa

    tests = TYPES.get(wanted)
    if tests is None:
        return str(found) == wanted
    return any(getattr(pa.types, test)(found) for test in tests)


def _queries(contract: Contract, table: pa.Table) -> Iterator[Check]:
    if not contract.checks:
        return
    import duckdb

    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("product", table)
        for query in contract.checks:
            yield _query(connection, query)


def _query(connection: Any, query: SqlCheck) -> Check:
    import duckdb

    try:
        cursor = connection.execute(query.sql)
        if query.expect is None:
            count = sum(len(rows) for rows in iter(lambda: cursor.fetchmany(1024), []))
            return Check(query.name, count == 0, count, "0 rows")
        row = cursor.fetchone()
    except duckdb.Error as error:
        return Check(query.name, False, str(error), "a query that runs")
    found = _plain(row[0]) if row else None
    return Check(query.name, found == query.expect, found, f"{query.expect}")


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
