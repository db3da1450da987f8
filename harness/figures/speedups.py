"""Figure 1: accuracy over speedup for both base models, gamma swept; LiveCodeBench beside our counterpart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness import paper
from harness.arms import MODELS, VERIFIED
from harness.figures import panels, style
from harness.figures.panels import Curve
from harness.sweeps import AR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BENCHMARK = "lcb-mini"
SAMPLERS = ("eb_entropy", VERIFIED)
"""How the SBD checkpoints decode."""
COLOURS = {
    model: colour for pair, colour in zip(MODELS.items(), (style.BLUE, style.RED), strict=True) for model in pair
}
"""Of our base models and of the paper's models that they stand for."""
MARKED = (0.1, 0.8)
"""Gammas, in nats, that are written beside our points."""


def points(ours: pd.DataFrame) -> pd.DataFrame:
    """Return all plotted points: the paper's, and ours from `sweeps.points` (NTP-trained AR, and the SBD checkpoint).

    `sampling` is "NTP", "SBD" (one point a gamma) or "SBD verified" (one point, with no gamma to choose).
    Speedup is tokens per forward to the end of the solution (Eq. 17), pooled over problems; 1 for AR.
    """
    published = paper.load("fig1").rename(
        columns={"base_model": "model", "nfe_speedup": "speedup", "pass_at_1_pct": "accuracy_pct"}
    )
    ar = (ours["sampler"] == AR) & (ours["checkpoint"] == "ntp")
    mine = ours[ar | ((ours["sampler"] != AR) & (ours["checkpoint"] == "sbd"))]
    mine = mine.assign(sampling=[{AR: "NTP", VERIFIED: VERIFIED}.get(name, "SBD") for name in mine["sampler"]]).rename(
        columns={"tokens_per_forward": "speedup", "parameter": "gamma_nats"}
    )
    columns = [
        "source", "model", "sampling", "gamma_nats", "speedup", "accuracy_pct", "accuracy_low", "accuracy_high", "n",
    ]  # fmt: skip
    both = pd.concat([published.assign(source="paper"), mine.assign(source="ours")], ignore_index=True)
    return both.reindex(columns=columns)


def draw(ours: pd.DataFrame, missing: Mapping[str, str], where: str, folder: Path) -> list[Path]:
    """Draw Figure 1 and write it with its points; returns the paths.

    Args:
        ours: from sweeps.points. missing: models without records, and why. where: scale. folder: of the files.
    """
    shown = points(ours)
    with style.canvas(style.COLUMN, 2.35) as figure:
        axes = figure.subplots(1, 2)
        for ax, source in zip(axes, ("paper", "ours"), strict=True):
            _panel(ax, shown[shown["source"] == source])
            ax.set_xlabel("NFE speedup, × (Eq. 17)")
        axes[0].set_title("paper, 8B: LiveCodeBench v6")
        axes[1].set_title(f"ours: {BENCHMARK}")
        axes[0].set_ylabel("pass@1, %")
        if missing:
            style.missing(axes[1], [f"SBD of {model}" for model in missing])
        style.caption(figure, f"Figure 1, {where}: accuracy over speedup", _caption(shown, missing))
        return style.save(figure, folder, "figure1", shown)


def _panel(ax: Axes, shown: pd.DataFrame) -> None:
    """Draw each model's line over gamma, its NTP star at speedup 1, and its name."""
    curves: list[Curve] = []
    for model in dict.fromkeys(shown["model"]):
        mine = shown[shown["model"] == model].rename(
            columns={"speedup": "x", "accuracy_pct": "y", "accuracy_low": "low", "accuracy_high": "high"}
        )
        line = mine[mine["sampling"] == "SBD"].sort_values("x").reset_index(drop=True)
        marker = "o" if COLOURS[model] == style.BLUE else "s"
        notes = {i: f"γ={gamma:g}" for i, gamma in enumerate(line["gamma_nats"]) if gamma in MARKED}
        first = not curves
        if len(line):
            label, look = model.removesuffix(" 8B"), (COLOURS[model], marker, "-")
            curves.append(Curve(points=line, label=label, look=look, notes=notes if first else {}, side="right"))
        for sampling, mark in (("NTP", panels.star), (VERIFIED, panels.cross)):
            for _, point in mine[mine["sampling"] == sampling].iterrows():
                mark(ax, float(point["x"]), float(point["y"]), COLOURS[model])
    if not curves:
        return
    panels.draw(ax, curves, log_x=False)
    panels.label_ends(ax, curves, share=0.36)


def _caption(shown: pd.DataFrame, missing: Mapping[str, str]) -> str:
    sizes = sorted(set(shown["n"].dropna().astype(int)))
    n = "-".join(str(size) for size in dict.fromkeys((*sizes[:1], *sizes[-1:]))) or "0"
    words = [
        f"Ours: n = {n} problems a point; faint bars: 95% Wilson intervals; greedy, block 16, EB-Sampler, γ in nats.",
        "Stars: NTP-trained models, autoregressive. Crosses: SBD verified, which has no γ to choose.",
        "Paper: n = 454, read off its Figure 1; its γ are not printed.",
        *(f"Not measured: {model}: {why}." for model, why in missing.items()),
    ]
    return " ".join(words)
