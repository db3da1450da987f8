"""Records on disk: one JSON line each, appended whole or not at all, resumed by key, with a manifest beside them.

`python -m harness.results verify | show | diff` checks, shows and compares them (docs/records.md).
"""

from __future__ import annotations

from harness.results.files import ArmFile, drop_torn_line, forget, read
from harness.results.lines import Choice, Line, Measurement, Record, Timing, measurement_key
from harness.results.lock import Lock
from harness.results.manifest import note, read_manifest, strike
from harness.results.packed import content, files_below, pack, stored, unpack

__all__ = [
    "ArmFile", "Choice", "Line", "Lock", "Measurement", "Record", "Timing", "content", "drop_torn_line", "files_below",
    "forget", "measurement_key", "note", "pack", "read", "read_manifest", "stored", "strike", "unpack",
]  # fmt: skip
