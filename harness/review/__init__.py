"""Checks of committed records: tables recomputed, answers scored again, arms compared; never runs a model.

Behind `python -m harness.results verify | show | diff` (docs/records.md).
"""
