"""Figure 4: the next-token loss while training goes on under three objectives, the paper's curves beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness import paper
from harness.figures import panels, style
from harness.figures.panels import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUNS: dict[str, str] = {"ntp": "NTP", "sbd": "SBD", "sbd-no-ntp": "SBD w/o NTP"}
"""Our checkpoints, and the paper's names of their objectives."""
LOOKS = {
    "NTP": (style.BLUE, "", "-"), "SBD": (style.RED, "", "--"), "SBD w/o NTP": (style.GREEN, "", "-."),
}  # fmt: skip
BINS = 50
"""Points of each of our lines, as many as the paper's: medians over equal numbers of steps."""


def read(log: Path, run: str) -> pd.DataFrame:
    """Read a training's losses.jsonl and bin it over its tokens.

    Returns:
        BINS rows: source, run, tokens (next-token targets so far, all objectives counted alike), loss_median, loss_min,
        loss_max (nats per token).

    Raises:
        ValueError: where the log is damaged.
    """
    try:
        steps = pd.DataFrame([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])
        tokens, loss = steps["ntp_tokens"].cumsum(), steps["ntp_loss"]
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{str(log)!r} is no log of a training ({error}); restore it, or train again") from None
    groups = pd.Series(range(len(steps))) * BINS // len(steps)
    return pd.DataFrame(
        {
            "source": "ours", "run": run, "tokens": tokens.groupby(groups).last(),
            "loss_median": loss.groupby(groups).median(), "loss_min": loss.groupby(groups).min(),
            "loss_max": loss.groupby(groups).max(),
        }
    )  # fmt: skip


def published() -> pd.DataFrame:
    """Return the paper's curves in the columns of `read`."""
    frame = paper.load("fig4")
    frame = frame.assign(source="paper", tokens=1e12 * frame["tokens_trillion"]).rename(
        columns={f"ntp_loss_{kind}": f"loss_{kind}" for kind in ("median", "min", "max")}
    )
    return frame[["source", "run", "tokens", "loss_median", "loss_min", "loss_max"]]


def points(logs: Mapping[str, Path]) -> pd.DataFrame:
    """Return the paper's curves and ours: run (a key of RUNS) -> its losses.jsonl.

    Raises:
        ValueError: where a log is damaged.
    """
    return pd.concat([published(), *(read(log, RUNS[run]) for run, log in logs.items())], ignore_index=True)


def draw(logs: Mapping[str, Path], missing: Mapping[str, str], where: str, folder: Path) -> list[Path]:
    """Draw Figure 4 and write it with its points; returns the paths.

    Args:
        logs: run (a key of RUNS) -> its losses.jsonl. missing: runs without a log, and why. where: scale and model.

    Raises:
        ValueError: where a log is damaged.
    """
    shown = points(logs)
    with style.canvas(style.COLUMN, 2.35) as figure:
        axes = figure.subplots(1, 2)
        axes[1].set_yscale("log")  # without its gradient our loss rises a thousandfold
        for ax, source, unit in zip(axes, ("paper", "ours"), (1e12, 1e6), strict=True):
            _panel(ax, shown[shown["source"] == source], unit)
        axes[0].set_title("paper: 3B, last tenth")
        axes[1].set_title("ours: fine-tuning")
        axes[0].set_xlabel("training tokens, trillions")
        axes[1].set_xlabel("completion tokens, millions")
        axes[0].set_ylabel("NTP loss, nats per token")
        if missing:
            style.missing(axes[1], [RUNS[run] for run in missing])
        title = f"Figure 4, {where}: NTP loss in training"
        style.caption(figure, title, _caption(shown, missing))
        return style.save(figure, folder, "figure4", shown)


def _panel(ax: Axes, shown: pd.DataFrame, unit: float) -> None:
    """Draw each objective's median line with its band, and its name at the end."""
    curves = []
    for run, look in LOOKS.items():
        mine = shown[shown["run"] == run].rename(columns={"loss_median": "y"}).reset_index(drop=True)
        if len(mine):
            mine = mine.assign(x=mine["tokens"] / unit)
            ax.fill_between(mine["x"], mine["loss_min"], mine["loss_max"], color=look[0], alpha=0.18, linewidth=0)
            curves.append(Curve(points=mine, label=run.replace(" w/o", "\nw/o"), look=look))
    if curves:
        panels.draw(ax, curves, log_x=False)
        panels.label_ends(ax, curves, share=0.34)


def _caption(shown: pd.DataFrame, missing: Mapping[str, str]) -> str:
    ours = shown[shown["source"] == "ours"]
    n = ours.groupby("run")["tokens"].max().max() / 1e6 if len(ours) else 0.0
    words = [
        f"Lines: medians of {BINS} bins, bands: least and greatest. Ours: n = {n:.1f} million completion tokens from "
        "one base model, same order for all objectives. SBD w/o NTP: the loss is logged, not trained.",
        "Paper: read off its Figure 4.",
        *(f"Not measured: {RUNS[run]}: {why}." for run, why in missing.items()),
    ]
    return " ".join(words)
