"""Curves in one panel: lines with markers, faint intervals, a star for autoregression, labels beside the lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from harness.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MOST_TICKS = 5
"""Of an axis in powers of two; more would touch each other in a narrow panel."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel.

    Args:
        points: rows in drawing order, columns x and y, and low and high where there is an interval.
        label: its name, written beside its end; "" for none. look: colour, marker and dash.
        hollow: whether the markers are empty.
        notes: index of a point -> a word above it, such as its gamma. side: "left" or "right" of it.
    """

    points: pd.DataFrame
    label: str
    look: tuple[str, str, str]
    hollow: bool = False
    notes: dict[int, str] = field(default_factory=dict)
    side: str = "left"


def draw(ax: Axes, curves: Sequence[Curve], *, log_x: bool = True) -> None:
    """Draw the lines, their intervals as faint bars, and the words beside single points."""
    if log_x:
        ax.set_xscale("log", base=2)
    for curve in curves:
        colour, marker, dash = curve.look
        points = curve.points
        if "low" in points:
            ax.vlines(points["x"], points["low"], points["high"], color=colour, alpha=0.25, linewidth=0.7)
        ax.plot(
            points["x"], points["y"], color=colour, marker=marker, linestyle=dash,
            markerfacecolor="white" if curve.hollow else colour, markeredgewidth=0.7, clip_on=False,
        )  # fmt: skip
        away = -1 if curve.side == "left" else 1
        for index, word in curve.notes.items():
            here = points.iloc[index]
            ax.annotate(
                word, (here["x"], here["y"]), xytext=(2 * away, 2), textcoords="offset points", va="bottom",
                fontsize=style.SMALL, color=colour, ha="right" if curve.side == "left" else "left",
            )  # fmt: skip


def star(ax: Axes, x: float, y: float, colour: str) -> None:
    """Mark autoregression."""
    ax.plot([x], [y], marker="*", markersize=7, color=colour, markeredgecolor="white", markeredgewidth=0.5, zorder=4)


def cross(ax: Axes, x: float, y: float, colour: str) -> None:
    """Mark verified decoding."""
    ax.plot([x], [y], marker="X", markersize=6, color=colour, markeredgecolor="white", markeredgewidth=0.5, zorder=4)


def label_ends(ax: Axes, curves: Sequence[Curve], *, share: float = 0.25) -> None:
    """Write each curve's label right of its rightmost point, apart from each other; the axis grows to hold them.

    Args:
        share: part of the panel's width that the labels may take.
    """
    _widen(ax, share, 0.22 if any(curve.notes and curve.side == "left" for curve in curves) else 0.0)
    bend, unbend = (math.log10, lambda y: 10**y) if ax.get_yscale() == "log" else (float, float)
    low, high = map(bend, ax.get_ylim())
    named = [curve for curve in curves if curve.label]
    ends = [curve.points.iloc[int(curve.points["x"].argmax())] for curve in named]
    heights = style.spread([bend(end["y"]) for end in ends], 0.085 * (high - low))
    for curve, end, height in zip(named, ends, heights, strict=True):
        ax.annotate(
            curve.label, (float(end["x"]), unbend(height)), xytext=(5, 0), va="center", textcoords="offset points",
            fontsize=6, color=curve.look[0], annotation_clip=False,
        )  # fmt: skip


def _widen(ax: Axes, right_share: float, left_share: float) -> None:
    """Make room beside the data for words, without ticks there."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    left, right = ax.get_xlim()
    inner = 1 - right_share - left_share
    if ax.get_xscale() == "log":
        ratio = right / left
        powers = [2**n for n in range(20) if left <= 2**n <= right]
        step = -(-len(powers) // MOST_TICKS)
        powers = powers[(len(powers) - 1) % step :: step] if powers else []
        ax.set_xlim(left * ratio ** (-left_share / inner), right * ratio ** (right_share / inner))
        ax.set_xticks(powers, [f"{power:g}" for power in powers])
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(left, right)
        ax.set_xticks([tick for tick in ticks if left <= tick <= right])
        ax.set_xlim(left - (right - left) * left_share / inner, right + (right - left) * right_share / inner)
