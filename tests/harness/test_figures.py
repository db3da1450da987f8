"""Figures: masks against a plain reading, labels apart, every published and measured point in the files, gaps."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import paper, sweeps
from harness.figures import attention, losses, speedups, style, tradeoffs

NAMES = list(tradeoffs.PANELS)


def fake(model: str, checkpoint: str, benchmark: str, sampler: str, parameters: tuple[float, ...]) -> pd.DataFrame:
    """Points as `sweeps.points` returns them, made up."""
    rows = [
        (model, checkpoint, benchmark, sampler, p, 50, 80 - i, 70 - i, 90 - i, 40 - i, 100 / (1 + i), 1.0 + i)
        for i, p in enumerate(parameters)
    ]
    return pd.DataFrame(rows, columns=list(sweeps.COLUMNS))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of the figures that are saved while this is in use."""
    from matplotlib.text import Text

    texts: list[str] = []
    save = style.save

    def watch(figure, *rest):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a layout that does not fit warns
            paths = save(figure, *rest)
        texts.extend(text.get_text() for text in figure.findobj(Text))
        return paths

    monkeypatch.setattr(style, "save", watch)
    return texts


def test_the_training_mask_is_figure_8():
    panel = attention.training_panel()
    for i, query in enumerate(panel.queries):
        for j, key in enumerate(panel.keys):
            q, k = int(query.strip("xhat")), int(key.strip("xhat"))
            block = (q - 1) // attention.BLOCK
            if "hat" not in query:
                expected = "" if "hat" in key or k > q else "causal"
            elif "hat" in key:
                expected = "own block, both directions" if (k - 1) // attention.BLOCK == block else ""
            else:
                expected = "earlier blocks" if (k - 1) // attention.BLOCK < block else ""
            assert panel.kind(i, j) == expected, (query, key)


@pytest.mark.parametrize("fused", [True, False])
def test_the_decoding_mask_is_figure_10(fused):
    panel = attention.decoding_panel(fused)
    assert len(panel.queries) == (8 if fused else 4)
    for i, query in enumerate(panel.queries):
        for j, key in enumerate(panel.keys):
            seen = query[0] == "m" or (key[0] == "x" and int(key[1:]) <= int(query[1:]))
            assert bool(panel.seen_QK[i, j]) == seen, (query, key)


def test_figure_3_has_one_row_a_cell(tmp_path, drawn):
    png, pdf, csv, md = attention.draw(tmp_path)
    assert png.read_bytes()[1:4] == b"PNG" and pdf.read_bytes()[:4] == b"%PDF"
    assert md.read_text().startswith("**Figure 3: who attends to whom**\n\nA row is a query")
    assert len(pd.read_csv(csv)) == 16 * 16 + 8 * 12 + 4 * 12


@given(st.lists(st.floats(0, 100), min_size=1, max_size=5), st.floats(0.1, 20))
def test_labels_are_pushed_apart_and_keep_their_order_and_centre(positions, gap):
    placed = style.spread(positions, gap)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    assert all(placed[b] - placed[a] >= 0.97 * gap for a, b in zip(order, order[1:], strict=False))
    assert np.mean(placed) == pytest.approx(np.mean(positions), abs=1e-6)


def test_labels_that_are_apart_stay():
    assert style.spread([3.0, 1.0, 2.0], 1.0) == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("number", tradeoffs.FIGURES)
def test_tradeoffs_hold_every_published_and_measured_point(number, tmp_path, drawn):
    what = tradeoffs.FIGURES[number]
    parts = [
        fake("llama-mini", checkpoint, name, sampler, sweeps.GRIDS.get(sampler, (float("nan"),)))
        for checkpoint in sweeps.LENGTHS for name in NAMES for sampler in (*what.samplers, "ar")
    ]  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    csv = pd.read_csv(tradeoffs.draw(number, frame, NAMES, {}, "mini scale, llama-mini", tmp_path)[2])
    assert len(csv[csv["source"] == "paper"]) == len(paper.load(f"fig{number}"))
    ours = csv[csv["source"] == "ours"]
    assert len(ours) == len(what.conventions) * len(frame)
    first = ours[(ours["length"] == "full") & (ours["sampler"] == "EB") & (ours["parameter"] == 0)]
    assert set(first.loc[first["convention"] == "budget", "nfe"]) == {100.0}
    assert set(first.loc[first["convention"] == "solution", "nfe"]) <= {40.0}
    assert any("mini scale, llama-mini" in " ".join(text.split()) for text in drawn)
    assert any("n = 50 problems" in text for text in drawn) and "34k" in drawn and "1/4" in drawn


def test_a_missing_checkpoint_is_marked_and_never_drawn(tmp_path, drawn):
    frame = fake("llama-mini", "sbd", NAMES[0], "eb_entropy", sweeps.GAMMAS)
    missing = {"sbd-half": "no checkpoint there"}
    csv = pd.read_csv(tradeoffs.draw("5", frame, NAMES[:1], missing, "mini scale", tmp_path)[2])
    assert set(csv.loc[csv["source"] == "ours", "length"]) == {"full"}
    assert any(text.startswith("not measured:") and "1/2" in text for text in drawn)
    assert any("no checkpoint there" in " ".join(text.split()) for text in drawn)


def test_figure_1_starts_at_autoregression_and_marks_gaps(tmp_path, drawn):
    parts = [
        fake("llama-mini", "ntp", "lcb-mini", "ar", (float("nan"),)),
        fake("llama-mini", "sbd", "lcb-mini", "eb_entropy", sweeps.GAMMAS),
        fake("llama-mini", "sbd", "lcb-mini", "ar", (float("nan"),)),
    ]
    paths = speedups.draw(pd.concat(parts), {"qwen3-mini": "untrained"}, "mini scale", tmp_path)
    csv = pd.read_csv(paths[2])
    assert len(csv[csv["source"] == "paper"]) == len(paper.load("fig1"))
    ours = csv[csv["source"] == "ours"]
    assert list(ours["sampling"]) == ["NTP"] + ["SBD"] * 7  # the SBD checkpoint's own AR is not in Figure 1
    assert ours["speedup"].iloc[0] == 1
    assert any("SBD of qwen3-mini" in " ".join(text.split()) for text in drawn)


def test_a_loss_log_is_binned_by_steps(tmp_path):
    log = tmp_path / "losses.jsonl"
    steps = [{"ntp_loss": float(i), "ntp_tokens": 10} for i in range(100)]
    log.write_text("\n".join(map(json.dumps, steps)) + "\n", encoding="utf-8")
    frame = losses.read(log, "NTP")
    assert list(frame["tokens"]) == [20 * (i + 1) for i in range(50)]
    assert list(frame["loss_median"]) == [2 * i + 0.5 for i in range(50)]
    assert list(frame["loss_min"]) == [2.0 * i for i in range(50)]
    assert list(frame["loss_max"]) == [2.0 * i + 1 for i in range(50)]


def test_figure_4_draws_what_is_there(tmp_path, drawn):
    log = tmp_path / "losses.jsonl"
    log.write_text("".join(json.dumps({"ntp_loss": 2 / (i + 1), "ntp_tokens": 10}) + "\n" for i in range(60)))
    paths = losses.draw({"ntp": log}, {"sbd-no-ntp": "untrained"}, "mini scale", tmp_path / "out")
    csv = pd.read_csv(paths[2])
    assert len(csv[csv["source"] == "paper"]) == len(paper.load("fig4"))
    assert set(csv.loc[csv["source"] == "ours", "run"]) == {"NTP"}
    assert any("SBD w/o NTP" in text and text.startswith("not measured:") for text in drawn)


def test_a_damaged_log_gets_one_line(tmp_path: Path):
    log = tmp_path / "losses.jsonl"
    log.write_text('{"loss": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="losses.jsonl' is no log"):
        losses.read(log, "NTP")
