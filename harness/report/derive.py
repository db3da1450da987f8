"""Writes what a report can have without a model: Table 1 from the records, Tables 3, 4, the roofline and the audit."""

from __future__ import annotations

import pandas as pd

from harness import layout, tables
from harness.audit import build_audit
from harness.report.catalogue import FIGURES, TABLES
from harness.report.sources import Sources
from harness.rooflines import RooflineOptions, build_figure, build_table3, build_table4


def fill(sources: Sources, records: pd.DataFrame | None, timings: pd.DataFrame) -> list[str]:
    """Write what is missing of these, nothing that is there; returns the labels of what was written.

    Raises:
        OSError: where the reports folder cannot be written.
    """
    roofline, paper = sources.reports / "roofline", RooflineOptions()
    makers = {
        TABLES["table3"]: lambda: build_table3(roofline, paper),
        TABLES["table4"]: lambda: build_table4(roofline, paper),
        TABLES["audit"]: lambda: build_audit(sources.reports),
        FIGURES["roofline"]: lambda: build_figure(roofline, paper),
    }
    written = []
    for item, make in makers.items():
        if not sources.path(item, "pdf" if item in FIGURES.values() else "csv").is_file():
            make()
            written.append(item.label)
    lacks = any(not sources.path(TABLES[key], "csv").is_file() for key in ("table1", "table1_pooled"))
    if lacks and records is not None:
        made = tables.table1(records, timings), tables.pooled(records, timings)
        layout.write(*made, sources.reports, sources.scale)
        written.append("Table 1")
    return written
