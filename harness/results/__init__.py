"""Records on disk: one JSON line each, appended whole or not at all, resumed by key, with a manifest beside them.

`python -m harness.results verify | show | diff` checks, shows and compares them (docs/records.md).
"""

from __future__ import annotations

from harness.results.files import ArmFile, drop_torn_line, forget, read
from harness.results.lines import Choice, Line, Measurement, Record, Timing, measurement_key
from harness.results.lock import Lock
from harness.results.manifest import note, read_manifest

__all__ = [
    "ArmFile", "Choice", "Line", "Lock", "Measurement", "Record", "Timing", "drop_torn_line", "forget", "measurement_key",
    "note", "read", "read_manifest",
]  # fmt: skip
