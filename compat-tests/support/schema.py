"""The facts of a database's schema as lines of text, so that two databases are compared as sets.

`facts(uri)` returns a line per table, column, key, constraint, index, sequence, trigger, function and row that the
migrations leave. A line starts with the table that it belongs to.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import psycopg2

# Tables of which the migrations fill in rows.
_SEEDED = ("alembic_version", "workspaces")

# Each query gives lines about the tables of the public schema.
_POSTGRES = {
    "table": "SELECT relname, relkind::text, relpersistence::text, reloptions::text FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'S')",
    # The number is the column's place among those that were not dropped.
    "column": """
        SELECT attrelid::regclass::text, row_number() OVER (PARTITION BY attrelid ORDER BY attnum)::text, attname,
               format_type(atttypid, atttypmod), attnotnull::text, attidentity::text, attgenerated::text,
               pg_get_expr(adbin, adrelid), attcollation::regcollation::text
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped""",
    "constraint": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid), condeferrable::text,
               convalidated::text, conislocal::text
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "index": """
        SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid), indisprimary::text, indisvalid::text
        FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'public'::regnamespace""",
    "sequence": """
        SELECT coalesce(refobjid::regclass::text, '-'), seqrelid::regclass::text, seqtypid::regtype::text,
               seqstart::text, seqincrement::text, seqmin::text, seqmax::text, seqcache::text, seqcycle::text,
               refobjsubid::text, deptype::text
        FROM pg_sequence LEFT JOIN pg_depend
          ON objid = seqrelid AND classid = 'pg_class'::regclass AND refobjsubid > 0""",
    "trigger": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "function": """
        SELECT '-', proname, lanname, prorettype::regtype::text, provolatile::text, pg_get_function_arguments(p.oid)
        FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'public'::regnamespace""",
    "type": "SELECT '-', typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')",
}


def facts(uri: str) -> set[str]:
    """Returns every fact of the database's schema."""
    if uri.startswith("sqlite:///"):
        return set(_sqlite(uri.removeprefix("sqlite:///")))
    return set(_postgres(uri))


def split_extras(lines: set[str]) -> tuple[set[str], set[str]]:
    """Splits stock's facts from those of tables and indexes of ours, whose names start with `ferroflow_`."""
    ours = {line for line in lines if "ferroflow_" in line}
    return lines - ours, ours


def execute(uri: str, sql: str) -> None:
    """Runs a statement and commits."""
    connection = _connect(uri)
    try:
        connection.cursor().execute(sql)
        connection.commit()
    finally:
        connection.close()


def query(uri: str, sql: str) -> list[tuple]:
    """Returns the rows of a query."""
    connection = _connect(uri)
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())
    finally:
        connection.close()


def _connect(uri: str):
    if uri.startswith("sqlite:///"):
        return sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=20)
    return psycopg2.connect(uri)


def _line(table: str, kind: str, *parts: object) -> str:
    return " | ".join([table, kind, *map(str, parts)])


def _postgres(uri: str) -> Iterator[str]:
    connection = psycopg2.connect(uri)
    try:
        cursor = connection.cursor()
        for kind, sql in _POSTGRES.items():
            cursor.execute(sql)
            for table, *parts in cursor.fetchall():
                yield _line(table, kind, *parts)
        for table in _SEEDED:
            cursor.execute(f"SELECT * FROM {table}")
            yield from (_line(table, "row", row) for row in cursor.fetchall())
    finally:
        connection.close()


def _sqlite(path: str) -> Iterator[str]:
    connection = sqlite3.connect(path)
    try:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for table, sql in tables:
            yield from _sqlite_table(connection, table, sql)
        for table in _SEEDED:
            yield from (_line(table, "row", row) for row in connection.execute(f"SELECT * FROM {table}"))
        # A trigger's text is its author's; what it does is tested.
        for row in connection.execute("SELECT tbl_name, type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"):
            yield _line(*row)
    finally:
        connection.close()


def _sqlite_table(connection: sqlite3.Connection, table: str, sql: str) -> Iterator[str]:
    def pragma(name: str, argument: str = table) -> list[tuple]:
        return connection.execute(f"PRAGMA {name}('{argument}')").fetchall()

    kind = next(row[2:] for row in pragma("table_list") if row[1] == table)
    yield _line(table, "table", *kind)
    for number, *column in pragma("table_xinfo"):
        yield _line(table, "column", number, *column)
    keys: dict[int, list[tuple]] = {}
    for number, *key in pragma("foreign_key_list"):
        keys.setdefault(number, []).append(tuple(key))
    for key in keys.values():
        yield _line(table, "foreign key", sorted(key))
    for _, index, unique, origin, partial in pragma("index_list"):
        columns = [row[2:] for row in pragma("index_xinfo", index)]
        name = index if origin == "c" else origin
        yield _line(table, "index", name, unique, origin, partial, columns)
    # What no pragma tells is read from the text, without its spaces, quotes and letter case.
    yield from (_line(table, "constraint", text) for text in _constraints(sql))


def _constraints(sql: str) -> Iterator[str]:
    """Returns the table constraints and the expressions of generated columns of a CREATE TABLE."""
    body, depth, item = sql[sql.index("(") + 1 : sql.rindex(")")], 0, ""
    for letter in body + ",":
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            text = re.sub(r'[\s"]', "", item).lower()
            if re.match(r"constraint|check|foreign|primary|unique", text):
                # SQLAlchemy's order of the two actions changed over the years.
                yield "".join(sorted(re.split(r"(?=ondelete|onupdate)", text)))
            elif "generatedalwaysas" in text:
                yield text
            item = ""
        else:
            item += letter
