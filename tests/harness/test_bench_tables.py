"""The tables of harness.speed from made-up measurements: ratios, spreads, rooflines and Eq. 16 against hand counts."""

from __future__ import annotations

import dataclasses
import json
import warnings
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import results, stats
from harness.figures import benches
from harness.results import Measurement, Record, Timing
from harness.speed import predict, rooflines, tables
from sbd.roofline import HARDWARE, SHAPES, Hardware, Roofline

SHAPE = SHAPES["smollm2-135m"]
HERE = Hardware(
    name="test", bandwidth_bytes_per_second=1e10, peak_flops_per_second={"fp32": 1e11, "bf16": 1e11}, source="made up"
)


def line(arm: str, number: int, seconds: float, setting: dict[str, int], **counts: float) -> Measurement:
    counts = {"cpu_seconds": 2 * seconds} | counts
    return Measurement(
        run_id="x", scale="mini", model="m", bench="b", arm=arm, setting=setting, round=number, seconds=seconds,
        counts=counts,
    )  # fmt: skip


def ceilings(rounds: int = 2) -> list[Measurement]:
    return [
        line(arm, number, 1.0, {}, **{unit: rate})
        for number in range(rounds) for arm, unit, rate in (("copy", "bytes", 1e10), ("gemm", "flops", 1e11))
    ]  # fmt: skip


@pytest.mark.parametrize("n", [6, 7, 9, 12, 15])
def test_the_medians_interval_is_the_binomial_one(n: int) -> None:
    values = np.sort(np.random.default_rng(n).normal(size=n))

    def covered(j: int) -> float:
        """Chance that the j-th smallest and j-th largest of n values enclose the median."""
        return 1 - 2 * sum(comb(n, i) for i in range(j)) / 2**n

    best = max(j for j in range(1, n // 2 + 1) if covered(j) >= 0.95)
    found = stats.median(values)
    assert (found.interval.low, found.interval.high) == (values[best - 1], values[-best])
    assert found.value == np.median(values)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_a_median_lies_in_its_interval_and_few_values_span_it(values: list[float]) -> None:
    found = stats.median(values)
    assert found.interval.low <= found.value <= found.interval.high
    if len(values) < 6:
        assert (found.interval.low, found.interval.high) == (min(values), max(values))


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
def test_no_median_of_nothing(values: Any) -> None:
    with pytest.raises(ValueError, match="median"):
        stats.median(values)


def decoded() -> list[Measurement]:
    """Two prompts, six rounds on a machine that gets slower: in 1 s AR gives 10 tokens, SBD 20, static 20."""
    lines = []
    for number in range(6):
        for prompt in range(2):
            drift, setting = 1.0 + number, {"prompt": prompt, "prompt_tokens": 30}
            same = {"checksum": prompt, "tokens": 10}
            cost = {"nfe_fused": 1, "nfe_block": 4, "nfe_decode": 5, "decode_seconds": 0.8 * drift}
            ar = {"nfe_fused": 0, "nfe_block": 0, "nfe_decode": 10, "decode_seconds": 0.9 * drift}
            lines += [
                line("ar", number, drift, setting, **same, **ar, **({"beside_model": 0.1} if number == 0 else {})),
                line("sbd", number, drift, setting, tokens=20, checksum=7 if prompt else 0, **cost),
                line("hf-dynamic", number, (2.0 + 0.1 * (number % 2)) * drift, setting, **same),
                line("hf-static", number, 0.5 * drift, setting, **same),
            ]
    return lines


def test_decode_compares_within_a_round() -> None:
    table = tables.decode(tables.frame(decoded())).set_index("arm")
    assert table.loc["sbd", ["speed", "speed_low", "speed_high"]].tolist() == pytest.approx([2, 2, 2])
    assert table.loc["hf-dynamic", "speed_low"] == pytest.approx(1 / 2.1)
    assert table.loc["hf-dynamic", "speed_high"] == pytest.approx(1 / 2.0)
    assert table.loc["sbd", "nfe_speedup"] == 4 and table.loc["sbd", "share_of_nfe"] == pytest.approx(0.5)
    assert table.loc["ar", "tokens_per_second"] == pytest.approx(10 / 3.5)
    assert table["same_tokens"].to_dict() == {"ar": 1, "sbd": 0.5, "hf-dynamic": 1, "hf-static": 1}
    assert table.loc["ar", "beside_model"] == 0.1 and np.isnan(table.loc["hf-static", "beside_model"])
    assert np.isnan(table.loc["hf-static", "nfe_speedup"])


def test_the_best_eager_baseline_is_what_ar_must_keep_up_with() -> None:
    best, ratio = tables.keeps_up(tables.frame(decoded()))
    assert best == "hf-static" and ratio == pytest.approx({"ratio": 0.5, "ratio_low": 0.5, "ratio_high": 0.5})


def test_the_cpu_clock_replaces_the_wall_clock() -> None:
    lines = [line("ar", 0, 1.0, {}, cpu_seconds=0.25)]
    assert tables.frame(lines)["seconds"].item() == 1.0
    assert tables.frame(lines, "cpu")["seconds"].item() == 0.25


def test_throughput_sets_refilled_beside_lock_step() -> None:
    lines = [
        line(f"sbd {batching}", number, seconds, {"batch": 4, "prompts": 8}, tokens=100)
        for number in range(3) for batching, seconds in (("lock-step", 2.0 + number), ("refilled", 1.0 + number))
    ]  # fmt: skip
    (row,) = tables.throughput(tables.frame(lines)).to_dict("records")
    assert (row["decoding"], row["batch"]) == ("sbd", 4)
    assert row["gain"] == pytest.approx(1.5) and row["gain_high"] == pytest.approx(2.0)
    assert row["lock-step_tokens_per_second"] == pytest.approx(100 / 3)


def test_kernel_counts_its_share_of_copy_bandwidth() -> None:
    setting = {"rows": 16, "vocabulary": 1000}
    arms = {"ours": 2e-5, "eager": 1e-4, "statistics": 1e-5}
    arms |= {f"{arm}-graph": seconds / 2 for arm, seconds in arms.items()} | {"eager-graph": 8e-5}
    lines = ceilings() + [line(arm, n, s, setting, bytes=64000) for n in range(2) for arm, s in arms.items()]
    first, second = tables.kernel(tables.frame(lines)).to_dict("records")
    assert (first["mode"], second["mode"]) == ("eager", "graph")
    assert first["gain"] == pytest.approx(5) and second["gain"] == pytest.approx(8)
    assert first["share_of_copy"] == pytest.approx(64000 / 1e-5 / 1e10)
    assert second["share_of_copy"] == pytest.approx(2 * first["share_of_copy"])
    assert (first["rows"], first["vocabulary"]) == (16, 1000)


def test_training_compares_each_way_with_its_own_ntp() -> None:
    lines = []
    for length, scale in ((64, 1.0), (128, 2.0)):
        for arm, seconds in (("ntp", 1.0), ("sbd", 1.8), ("ntp flex", 2.0), ("sbd flex", 5.0)):
            sizes = {"positions": length, "area": length**2, "tiled_area": length**2, "square": 2 * length**2}
            setting = {"length": length, "rows": 4}
            lines.append(line(arm, 0, seconds * scale, setting, peak_bytes=seconds * 1e6, **sizes))
            lines.append(line(arm, 1, 10 * seconds * scale, setting, **sizes))
    table = tables.training(tables.frame(lines)).set_index(["arm", "length"])
    assert table.loc[("sbd", 64), "ratio_to_ntp"] == pytest.approx(1.8)
    assert table.loc[("sbd flex", 128), "ratio_to_ntp"] == pytest.approx(2.5)
    assert table.loc[("sbd", 128), "seconds_growth"] == pytest.approx(2)
    assert table.loc[("sbd", 128), "area_growth"] == 4 and np.isnan(table.loc[("sbd", 64), "area_growth"])
    assert table.loc[("sbd", 128), "peak_megabytes"] == pytest.approx(1.8)


def forwards(roofline: Roofline, kv_lengths: tuple[int, ...], k: int, factor: float = 1.0) -> list[Measurement]:
    """Measurements at batch 1 on a device that takes `factor` times as long as a roofline says."""
    return [
        line(
            arm, number, factor * roofline.seconds(batch=1, width=width, kv_length=kv_length),
            {"batch": 1, "kv_length": kv_length, "k": size},
        )
        for number in range(3) for kv_length in kv_lengths
        for arm, size, width in (("one", 1, 1), ("block", k, k), ("fused", k, 2 * k))
    ]  # fmt: skip


def test_a_device_as_fast_as_its_ceilings_meets_the_calibrated_roofline() -> None:
    roofline = Roofline(shape=SHAPE, hardware=HERE, dtype="fp32")
    runs = tables.frame(ceilings(3) + forwards(roofline, (128,), 16))
    predicted = rooflines.predictions(runs, SHAPE, "AMD EPYC", "fp32")
    table = rooflines.slowdown(rooflines.seconds(runs, 30, 30), predicted).set_index("k")
    assert table.loc[16, "measured"] == pytest.approx(table.loc[16, "calibrated"])
    assert table.loc[16, "measured_2k"] == pytest.approx(table.loc[16, "calibrated_2k"])
    assert table["times_calibrated"].tolist() == pytest.approx([1, 1])
    printed = Roofline(shape=SHAPE, hardware=HARDWARE["h100-paper"], as_printed=True)
    assert table.loc[16, "printed"] == printed.slowdown(batch=1, block_size=16, kv_length=128)
    # 1e11 flop/s over 1e10 bytes/s are 10 flops a byte; a float32 weight brings 2 flops a token for 4 bytes.
    assert predicted.crossover_tokens == pytest.approx(20)
    assert table["limit"].to_dict() == {1: "bandwidth", 16: "bandwidth"}
    wide = tables.frame(ceilings(3) + forwards(roofline, (128,), 64))
    row = rooflines.slowdown(rooflines.seconds(wide, 30, 30), predicted).set_index("k").loc[64]
    assert row["limit"] == "compute" and row["token_cost"] == pytest.approx(1, abs=0.3)  # the head is in the times only
    narrow = tables.frame(ceilings(3) + forwards(roofline, (128,), 4))
    assert rooflines.slowdown(rooflines.seconds(narrow, 30, 30), predicted).set_index("k").loc[4, "token_cost"] < 0.1
    slow = tables.frame(ceilings(3) + forwards(roofline, (128,), 16, factor=3.0))
    assert set(rooflines.slowdown(rooflines.seconds(slow, 30, 30), predicted)["limit"]) == {"neither"}


def test_the_data_sheet_is_that_of_the_device() -> None:
    runs = tables.frame(ceilings())
    assert rooflines.predictions(runs, SHAPE, "NVIDIA H200", "bf16").corrected.hardware is HARDWARE["h200"]
    assert rooflines.predictions(runs, SHAPE, "AMD EPYC", "fp32").corrected.dtype == "bf16"


def test_a_model_cut_short_is_scaled_to_full_depth() -> None:
    setting = {"batch": 1, "kv_length": 8, "k": 1}
    for suffix, mode in (("", "eager"), ("-graph", "graph")):
        runs = tables.frame([line(f"one{suffix}", 0, 5.0, setting), line(f"one-rest{suffix}", 0, 1.0, setting)])
        (row,) = rooflines.seconds(runs, 4, 32).to_dict("records")
        assert row["seconds"] == pytest.approx(1.0 + 4.0 * 32 / 4) and row["mode"] == mode


def test_eq_16_for_one_block_is_the_rooflines_own() -> None:
    roofline = Roofline(shape=SHAPE, hardware=HERE, dtype="fp32")
    timed = rooflines.seconds(tables.frame(forwards(roofline, (100,), 16)), 30, 30)
    trace = predict.Trace(name="block", items=1, tokens=16, fused=1, block=3, kv_length=100, measured=2.0)
    (row,) = predict.speedups([trace], timed, 16).to_dict("records")
    expected = roofline.wallclock_speedup(batch=1, block_size=16, kv_length=100, nfe_speedup=4)
    assert row["predicted"] == pytest.approx(expected)
    assert row["measured_over_predicted"] == pytest.approx(2.0 / expected)
    assert row["predicted_over_nfe"] == pytest.approx(expected / 4)


def test_eq_16_interpolates_between_kv_lengths() -> None:
    roofline = Roofline(shape=SHAPE, hardware=HERE, dtype="fp32")
    timed = rooflines.seconds(tables.frame(forwards(roofline, (100, 300), 16)), 30, 30)
    trace = predict.Trace(name="t", items=1, tokens=1, fused=0, block=1, kv_length=200, measured=1.0)

    def middle(width: int) -> float:
        return sum(roofline.seconds(batch=1, width=width, kv_length=kv) for kv in (100, 300)) / 2

    assert predict.speedups([trace], timed, 16)["predicted"].item() == pytest.approx(middle(1) / middle(16))


def test_decode_runs_become_traces() -> None:
    (trace,) = predict.from_decode(tables.frame(decoded()))
    assert (trace.name, trace.items, trace.tokens, trace.fused, trace.block) == ("decode: sbd", 2, 40, 2, 8)
    assert trace.kv_length == 30 + 10 and trace.nfe_speedup == 4
    assert trace.measured == pytest.approx((0.9 / 9) / (0.8 / 20))  # AR's first token comes from its prefill


def _blank(kind: type) -> dict[str, Any]:
    return {field.name: None for field in dataclasses.fields(kind)}


def test_records_and_timings_become_traces(tmp_path: Path) -> None:
    record = _blank(Record) | {
        "run_id": "r", "scale": "mini", "model": "m", "weights_hash": "w", "benchmark": "lcb-mini", "loss": "sbd",
        "sampling": "SBD gamma_low", "decoding": "sbd", "prompt_hash": "p", "text": "", "stop_reason": "eos",
        "correct": True, "generated_ids": [1] * 24, "nfe": {"fused": 1, "block": 2}, "nfe_decode": 3, "seconds": {},
        "batch_rows": 1, "seed": 0,
    }  # fmt: skip
    folder = tmp_path / "mini" / "m"
    (folder / predict.TRACES).mkdir(parents=True)
    records = [
        record | {"item_id": "a"},
        record | {"item_id": "b", "error": "its code would not run"},
        record | {"item_id": "c", "stop_reason": "error"},
    ]
    (folder / predict.TRACES / "lcb-mini.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (trace,) = predict.from_records(tmp_path, "mini", "m", {"lcb-mini": 50.0}, ("a CPU", 1))
    assert (trace.items, trace.tokens, trace.fused, trace.block, trace.kv_length) == (2, 48, 2, 4, 62)
    assert np.isnan(trace.measured)
    timing = _blank(Timing) | {
        "run_id": "r", "scale": "mini", "model": "m", "weights_hash": "w", "benchmark": "lcb-mini", "item_id": "a",
        "loss": "sbd", "repeat": 0, "nfe_decode": 1, "prefill_seconds": 0.1, "total_seconds": 1.0,
    }  # fmt: skip
    timings = [
        timing | {"sampling": "NTP", "tokens": 11, "decode_seconds": 2.0},
        timing | {"sampling": "SBD gamma_low", "tokens": 20, "decode_seconds": 1.0},
        timing | {"sampling": "SBD gamma_high", "tokens": 20, "decode_seconds": 0.1},
    ]
    (folder / "wallclock-lcb-mini.jsonl").write_text("".join(json.dumps(t) + "\n" for t in timings))
    (trace,) = predict.from_records(tmp_path, "mini", "m", {"lcb-mini": 50.0}, ("a CPU", 1))
    assert np.isnan(trace.measured)  # nothing says that they were made on this machine
    results.note(folder, {"run_id": "r", "hardware": "a CPU", "threads": 1})
    (trace,) = predict.from_records(tmp_path, "mini", "m", {"lcb-mini": 50.0}, ("a CPU", 1))
    assert trace.measured == pytest.approx((2.0 / 10) / (1.0 / 20))
    results.note(folder, {"run_id": "r", "hardware": "another CPU", "threads": 1})
    (trace,) = predict.from_records(tmp_path, "mini", "m", {"lcb-mini": 50.0}, ("a CPU", 1))
    assert np.isnan(trace.measured)


@pytest.mark.parametrize("bench", ["decode", "slowdown"])
def test_figures_fit_and_hold_their_numbers(bench: str, tmp_path: Path) -> None:
    roofline = Roofline(shape=SHAPE, hardware=HERE, dtype="fp32")
    if bench == "decode":
        cells = tables.decode(tables.frame(decoded()))
    else:
        runs = tables.frame(ceilings(3) + forwards(roofline, (128, 256), 8) + forwards(roofline, (128, 256), 16))
        predicted = rooflines.predictions(runs, SHAPE, "AMD EPYC", "fp32")
        timed = rooflines.seconds(runs, 30, 30).drop_duplicates(["kv_length", "k", "kind", "round"])
        cells = rooflines.slowdown(timed, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a layout that does not fit warns
        png, pdf, csv, _ = benches.draw(bench, cells, "A title", "a machine", tmp_path, "figure")
    assert png.read_bytes()[1:4] == b"PNG" and pdf.read_bytes()[:4] == b"%PDF"
    assert len(pd.read_csv(csv)) == len(cells)
