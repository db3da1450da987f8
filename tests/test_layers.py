"""The import order of docs/architecture.md, read from the sources: a module imports only from those above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = {
    "sbd": [
        "masks", "noise", "loss", "samplers", "kernels", "attention", "cache", "ledger", "config", "model", "rows",
        "seats", "graphs", "engine", "autoregressive", "verified", "decode", "stops", "trace", "streaming", "generate",
        "roofline", "training",
    ],
    "harness": [
        "paper", "stats", "errata", "sandbox", "mini", "benchmarks", "prompts", "judging", "arms", "results", "machine",
        "engine", "run", "wallclock",
        "evalplus_backend", "livecodebench",
        "render", "tables", "layout", "rooflines", "audit", "sweeps", "figures", "choices", "options",
        "table1", "likelihood", "table2", "studies", "speed", "bench", "review", "trace", "report", "reproduce",
        "maths", "datasets", "lm_eval_hook", "lm_eval_answers", "lm_eval_checkpoint", "lm_eval_requests", "tasks",
        "lm_eval_model",
    ],
}  # fmt: skip
"""Top to bottom as in docs/architecture.md; the package's own __init__ and command lines (__main__) stand below all."""

WRITERS = {"run", "wallclock", "engine", "likelihood", "bench"}
"""Modules of harness that make records; what judges records must not import them."""
JUDGES = {
    "stats", "errata", "render", "tables", "layout", "rooflines", "audit", "sweeps", "figures", "speed", "review",
    "report",
}  # fmt: skip


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> tuple[str, str]:
    """Return (package, first name below it), with '' for the package's own __init__ and for command lines."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], "" if parts[1] == "__init__" or parts[-1] == "__main__" else parts[1]


def imported(tree: ast.AST, path: Path) -> set[tuple[str, str]]:
    """Return the (package, module) pairs of our packages that a source imports, at any depth of its code."""
    found = set()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parent.parts
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(part for part in (base, node.module or "") if part)
            names += [f"{stem}.{alias.name}" for alias in node.names]
    for name in names:
        package, _, rest = name.partition(".")
        if package in ORDER:
            first = rest.partition(".")[0]
            found.add((package, first if first in ORDER[package] else ""))
    return found


@pytest.mark.parametrize("package", ORDER)
def test_every_module_has_its_place(package: str) -> None:
    unknown = {module_of(path)[1] for path in sources(package)} - {*ORDER[package], ""}
    assert not unknown, f"give these a place in ORDER and in docs/architecture.md: {sorted(unknown)}"


@pytest.mark.parametrize(
    "path", [path for package in ORDER for path in sources(package)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_point_upwards(path: Path) -> None:
    package, module = module_of(path)
    below = len(ORDER[package])
    rank = {name: place for place, name in enumerate(ORDER[package])} | {"": below}
    for other, name in imported(ast.parse(path.read_text(encoding="utf-8")), path):
        if other != package:
            assert (package, other) == ("harness", "sbd"), f"{path}: {package} must not import {other}"
        elif name != module:
            assert rank[name] < rank[module], f"{path}: {package}.{module} must not import {package}.{name}"
        if package == "harness" and other == "harness" and module in JUDGES:
            assert name not in WRITERS, f"{path}: a judge of records imports {name}, which makes them"


def test_the_reader_of_imports_sees_them(tmp_path: Path) -> None:
    lines = [
        "import sbd.loss",
        "from sbd import masks, load",
        "from harness.mini.words import X",
        "def f():",
        " import sbd.model",
    ]
    tree = ast.parse("\n".join(lines))
    assert imported(tree, ROOT / "harness" / "x.py") == {
        ("sbd", "loss"), ("sbd", "masks"), ("sbd", ""), ("harness", "mini"), ("sbd", "model"),
    }  # fmt: skip
    assert imported(ast.parse("from .loss import a\nfrom . import masks"), ROOT / "sbd" / "x.py") == {
        ("sbd", "loss"), ("sbd", "masks"),
    }  # fmt: skip
