"""What Postgres did for each statement of a server, as `auto_explain` writes it into its log, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .postgres import Cluster

#: A cluster that explains nothing yet, and that nobody analyses unasked. Nothing of it is to be kept.
SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
}

#: A scan may read so many pages for each time it runs and for each row that it finds, and some more.
PAGES_PER_LOOP, PAGES_PER_ROW, PAGES = 8, 4, 40
#: It may read so many rows in vain.
ROWS_IN_VAIN = 50
#: Not reached yet: for a registry that was small when it was analysed this index is as good as the primary key: a model to
#: be changed is found among all.
FALLS_SHORT = {"idx_registered_models_workspace"}


@dataclass(frozen=True)
class Scan:
    """One scan of a table in the plan of one statement."""

    statement: str
    kind: str
    table: str
    index: str | None
    loops: int
    rows: int
    in_vain: int
    pages: int

    def fault(self) -> str | None:
        """Says what is wrong with it."""
        where = f"{self.kind} of {self.table} by {self.index}, {self.rows} rows in {self.loops} loops"
        is_fine = self.index in FALLS_SHORT or (
            self.kind != "Seq Scan"
            and self.in_vain <= ROWS_IN_VAIN
            and self.pages <= PAGES + PAGES_PER_LOOP * self.loops + PAGES_PER_ROW * self.rows
        )
        return None if is_fine else f"{where}, {self.in_vain} rows in vain, {self.pages} pages, in: {self.statement}"


def explain(cluster: Cluster, is_on: bool) -> int:
    """Lets every session of the cluster explain its statements, or no longer; returns how long the log is before that."""
    length = cluster.log.stat().st_size
    cluster.query(f"ALTER SYSTEM SET auto_explain.log_min_duration = {0 if is_on else -1}")
    cluster.query("SELECT pg_reload_conf()")
    # A session reads the settings anew before its next statement, when the signal has reached it.
    cluster.query("SELECT pg_sleep(0.3)")
    return length


def scans(cluster: Cluster, since: int, tables: set[str]) -> list[Scan]:
    """Returns the scans of `tables` that the log tells of behind the place `since`."""
    with cluster.log.open("rb") as log:
        log.seek(since)
        text = log.read().decode(errors="replace")
    found = []
    for entry in re.findall(r"plan:\n((?:\t.*\n)+)", text):
        explained = json.loads("\n".join(line.removeprefix("\t") for line in entry.splitlines()))
        statement = " ".join(explained["Query Text"].split())
        found += [scan for scan in _walk(statement, explained["Plan"]) if scan.table in tables]
    return found


def _walk(statement: str, node: dict) -> Iterator[Scan]:
    """Goes through a plan; the pages of a bitmap are among those of the scan above it."""
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        loops = node["Actual Loops"]
        # A bitmap may come of more than one.
        indexes = [child["Index Name"] for child in [node, *node.get("Plans", [])] if "Index Name" in child]
        in_vain = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        yield Scan(
            statement, node["Node Type"], node["Relation Name"], " and ".join(indexes) or None,
            loops, round(node["Actual Rows"] * loops), round(in_vain * loops),
            node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0),
        )  # fmt: skip
    for child in node.get("Plans", []):
        yield from _walk(statement, child)
