"""The PDF report: its numbers are the CSV files', its gaps are marked, its bytes repeat, its errors are one line."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import paper, tables
from harness.arms import ROWS, VERIFIED
from harness.report import measured, pdf, predicted, prose
from harness.report.__main__ import main
from harness.report.document import Document, compose
from harness.report.sources import Sources
from sbd.roofline import HARDWARE, SHAPES, Roofline
from tests.harness.report_study import BENCHMARKS, ITEMS, MODELS, ROOT, STARTED, make

SECTIONS = (
    "Abstract", "What is compared", "The method in brief", "Setting", "Results", "Accuracy and speed",
    "Accuracy over speed", "Training length and entropy budget", "Samplers", "Does the next-token term matter",
    "Statistics", "Wall clock beside the roofline", "Measured speed", "Audit of the paper", "Errata of the paper",
    "Deviations from the paper", "Hardware and provenance", "How to make each item anew", "References", "Appendix",
)  # fmt: skip
NUMBER = re.compile(r"[+\u2212]?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def document(study: tuple[Path, Path]) -> Document:
    return compose(Sources(scale="mini", results=study[0], reports=study[1]))


@pytest.fixture(scope="module")
def report(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pdf.write(document, tmp_path_factory.mktemp("pdf") / "report.pdf")


@pytest.fixture
def copy(study: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The study again, to be damaged."""
    for folder in study:
        shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path / "results", tmp_path / "reports"


def text_of(path: Path) -> str:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler) is not installed")
    done = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


def run(folders: tuple[Path, Path], *more: str) -> int:
    return main(["--results", str(folders[0]), "--reports", str(folders[1]), *more])


def numbers(cell: list[str], *, drop: str = "8B") -> list[tuple[float, float]]:
    """Return the numbers of a cell as they are printed, and half a unit of the last digit of each."""
    found = NUMBER.findall(" ".join(cell).replace(drop, ""))
    return [
        (float(text.replace("\u2212", "-").replace(",", "")), 0.5 * 10.0 ** -len(text.partition(".")[2]))
        for text in found
    ]


def same(cell: list[str], *wanted: float) -> None:
    """Check that a cell holds exactly these numbers, to the digits that it prints; missing ones are left out."""
    printed, given_ = numbers(cell), [value for value in wanted if not pd.isna(value)]
    assert len(printed) == len(given_), (cell, wanted)
    for (value, half), expected in zip(printed, given_, strict=True):
        assert abs(value - expected) <= half + 1e-4, (cell, wanted)


def printed(document: Document, key: str) -> list[list[list[str]]]:
    return document.data["tables"][key][0]["rows"]


def test_table_1_prints_its_csv(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table1.csv")
    rows = printed(document, "table1")
    assert len(rows) == len(MODELS) * len(ROWS)
    cells = iter(frame.to_dict("records"))
    for model, loss, sampling in dict.fromkeys(zip(frame["base_model"], frame["loss"], frame["sampling"], strict=True)):
        (row,) = [r for r in rows if (r[0][0], *r[1]) == (model, f"{loss} /", sampling)]
        for cell in row[2:]:
            want = next(cells)
            same(
                cell, want["accuracy_pct"], want["accuracy_low"], want["accuracy_high"], want["tokens_per_forward"],
                want["wallclock_speedup"], want["paper_accuracy_pct"], want["paper_nfe_speedup"],
            )  # fmt: skip


def test_the_pooled_table_prints_its_csv(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table1_pooled.csv")
    for row, (_, want) in zip(printed(document, "table1_pooled"), frame.iterrows(), strict=True):
        assert row[0] == [want["base_model"]] and row[1] == [f"{want['loss']} / {want['sampling']}"]
        same(row[2], want["n"])
        same(row[3], want["accuracy_pct"], want["accuracy_low"], want["accuracy_high"])
        if row[4] != ["reference"]:
            same(row[4], want["difference_points"], want["difference_low"], want["difference_high"])
        for cell, name in zip(
            row[5:], ("tokens_per_forward", "tokens_per_forward_per_problem", "wallclock_speedup"), strict=True
        ):
            same(cell, want[name])


def test_changes_are_differences_of_the_csv(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table1.csv").set_index(["base_model", "loss", "sampling", "benchmark"])
    rows = printed(document, "changes")
    assert len(rows) == len(MODELS) * (len(ROWS) - 1)
    for row in rows:
        for name, cell in zip(BENCHMARKS, row[2:], strict=True):
            mine = frame.loc[(row[0][0], "SBD", row[1][1], name)]
            base = frame.loc[(row[0][0], "NTP", "NTP", name)]
            same(
                cell, mine["paper_accuracy_pct"] - base["paper_accuracy_pct"], mine["paper_nfe_speedup"],
                mine["accuracy_pct"] - base["accuracy_pct"], mine["tokens_per_forward"],
            )  # fmt: skip


def test_table_2_prints_both_halves(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table2.csv")
    for table, source in zip(document.data["tables"]["table2"], ("ours", "paper"), strict=True):
        half = frame[frame["source"] == source].set_index(["training_loss", "benchmark"])
        names = [head[0] for head in table["header"][1:]]
        assert len(table["rows"]) * len(names) == len(half)
        for row in table["rows"]:
            for name, cell in zip(names, row[1:], strict=True):
                want = half.loc[(row[0][0], name)]
                columns = [f"{what}_{part}" for what, parts in (("accuracy", ("pct", "low", "high")),
                           ("difference", ("points", "low", "high"))) for part in parts]  # fmt: skip
                same(cell, *want[columns])


@pytest.mark.parametrize(("key", "count"), [("table3", 224), ("table4", 288)])
def test_roofline_tables_print_published_and_corrected(document, study, key, count):
    frame = pd.read_csv(study[1] / "roofline" / f"{key}.csv")
    table, seen = document.data["tables"][key][0], 0
    for row in table["rows"]:
        for place, cell in enumerate(row[2:]):
            here = frame[
                (frame["batch_size"] == int(row[0][0])) & (frame["kv_length"] == int(row[1][0].replace(",", "")))
                & (frame["block_size"] == int(table["header"][2 + place][0].removeprefix("k = ")))
            ]  # fmt: skip
            for start, width, words in table["spans"]:
                if start <= 2 + place < start + width:
                    here = here[here["nfe_speedup"] == int(words.split()[-1].strip("x×"))]
            (want,) = here.to_dict("records")
            same(cell, want["paper"], want["corrected"])
            seen += 1
    assert seen == count == len(frame)


def test_the_audit_prints_its_csv(document, study):
    frame = pd.read_csv(study[1] / "audit.csv")
    for row, (_, want) in zip(printed(document, "audit"), frame.iterrows(), strict=True):
        assert [cell[0] for cell in row[:3]] == [
            want["base_model"], f"{want['loss']} / {want['sampling']}", want["benchmark"]
        ]  # fmt: skip
        assert row[9] == [want["verdict"]]
        for cell, names in zip(
            row[3:9],
            (["n"], ["ntp_accuracy_pct", "ntp_low", "ntp_high"], ["accuracy_pct", "accuracy_low", "accuracy_high"],
             ["difference_points", "difference_low", "difference_high"], ["detectable_points"],
             ["loss_at_most_points"]), strict=True,
        ):  # fmt: skip
            same(cell, *want[names])
    assert "0 show a loss, 17 show none beyond 5 points, and 19 can show neither" in document.data["audit"]


def test_paired_counts_are_counted_from_the_records(document, study):
    lines = [
        json.loads(line) for path in study[0].rglob("*-*/*.jsonl") for line in path.read_text().splitlines()
    ]
    solved = {(r["model"], r["loss"], r["sampling"], r["benchmark"], r["item_id"]): r["correct"]
              for r in lines if "correct" in r}  # fmt: skip
    rows = printed(document, "paired")
    sbd = [sampling for loss, sampling in ROWS if loss == "sbd"]
    assert len(rows) == len(MODELS) * (len(sbd) + len(sbd) - 1)  # against both autoregressive arms
    for row in rows:
        for name, cell in zip(BENCHMARKS, row[3:], strict=True):
            pairs = [
                (solved[row[0][0], "sbd", row[1][1], name, f"{name}-{i}"],
                 solved[row[0][0], row[2][0].split()[0].lower(), row[2][1], name, f"{name}-{i}"])
                for i in range(ITEMS)
            ]  # fmt: skip
            first, second = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
            assert cell[1] == f"{first} : {second}"
            same([cell[0]], 100 * (first - second) / ITEMS)


def test_speeds_are_the_timings_and_the_corrected_roofline(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table1.csv").set_index(["base_model", "loss", "sampling", "benchmark"])
    roofline = Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["h100-paper"], as_printed=False)
    rows = printed(document, "speeds")
    assert len(rows) == len(MODELS) * sum(sampling != "NTP" for _, sampling in ROWS)
    for row in rows:
        for name, cell in zip(BENCHMARKS, row[2:], strict=True):
            path = study[0] / "mini" / row[0][0] / f"wallclock-{name}.jsonl"
            lines = map(json.loads, path.read_text().splitlines())
            times = {(line["item_id"], line["sampling"]): line["total_seconds"] for line in lines}
            ratios = [times[item, "NTP"] / times[item, row[1][1]] for item, sampling in times if sampling == "NTP"]
            fast = frame.loc[(row[0][0], "SBD", row[1][1], name), "tokens_per_forward"]
            same([cell[0]], fast)
            same([cell[1]], float(np.median(ratios)), *np.quantile(ratios, (0.25, 0.75)))
            setting = {"batch": 1, "kv_length": predicted.KV_LENGTH}
            if row[1][1] == VERIFIED:
                one, fused = (roofline.seconds(width=width, **setting) for width in (1, 32))
                same([cell[2]], fast * one / fused)
            else:
                same([cell[2]], roofline.wallclock_speedup(block_size=16, nfe_speedup=fast, **setting))


def test_the_abstract_holds_the_last_pooled_rows(document, study):
    frame = pd.read_csv(study[1] / "mini" / "table1_pooled.csv")
    rows = frame[frame["base_model"] == "both"]
    words = " ".join(document.data["abstract"])
    for _, row in rows.iterrows():
        assert f"{row['sampling']} sampling solve {row['accuracy_pct']:.1f}%" in words
    assert words.count("tokens per forward") == len(rows) - 1
    fake = rows.assign(difference_points=-2.0, difference_low=-3.0, difference_high=-1.0)
    table = pd.read_csv(study[1] / "mini" / "table1.csv")
    assert "\u22122.0 [\u22123.0, \u22121.0] points, a loss" in " ".join(prose.abstract(fake, table, "mini"))
    fake = fake.assign(difference_low=-3.0, difference_high=1.0)
    assert "points, no difference shown" in " ".join(prose.abstract(fake, table, "mini"))


def test_every_section_and_number_is_in_the_pdf(document, report):
    text = text_of(report)
    for section in SECTIONS:
        assert section in text, section
    words = set(NUMBER.findall(text))
    for tables_ in document.data["tables"].values():
        for table in tables_:
            assert table["label"] in text
            for row in table["rows"]:
                for cell in row[table["labels"] :]:
                    missing = set(NUMBER.findall(" ".join(cell))) - words
                    assert not missing, (table["label"], cell)
    assert "03 February 2026" in text and "a machine" in text and "python -m some.command" in text
    assert "agree in all of its cells" in text


def test_gaps_name_their_command_and_nothing_else(document, report):
    gaps = document.data["gaps"]
    assert set(gaps) == {"figure1", "figure4", "figure5", "figure12", "figure13", "bench"}
    text = text_of(report)
    for gap in gaps.values():
        assert f"{gap['label']}: not there. Make it with" in text
        assert gap["command"] in text


def test_with_nothing_but_a_scale_all_is_gaps_or_prediction(tmp_path, capsys):
    (tmp_path / "results" / "mini").mkdir(parents=True)
    assert run((tmp_path / "results", tmp_path / "reports")) == 0
    printed_ = capsys.readouterr().out
    assert "gaps:" in printed_ and "Table 1" in printed_ and "Table 3" not in printed_
    assert (tmp_path / "reports" / "roofline" / "table3.csv").is_file(), "what needs no model is made"
    text = text_of(tmp_path / "reports" / "mini" / "report.pdf")
    assert "No records of this scale are there" in text and "headline numbers: not there" in text


def test_table_1_is_made_from_records_where_it_is_missing(copy, study, document):
    kept = (copy[1] / "roofline" / "table3.csv").stat().st_mtime_ns
    (copy[1] / "mini" / "table1.csv").unlink()
    again = compose(Sources(scale="mini", results=copy[0], reports=copy[1]))
    assert again.data == document.data
    assert (copy[1] / "mini" / "table1.csv").read_bytes() == (study[1] / "mini" / "table1.csv").read_bytes()
    assert (copy[1] / "roofline" / "table3.csv").stat().st_mtime_ns == kept, "what is there stays"


def test_the_same_input_gives_the_same_bytes(copy, report, tmp_path):
    again = compose(Sources(scale="mini", results=copy[0], reports=copy[1]))
    assert pdf.write(again, tmp_path / "elsewhere" / "again.pdf").read_bytes() == report.read_bytes()
    assert again.date is not None and again.date.strftime("%Y-%m-%dT%H:%M:%SZ") == STARTED


def test_a_table_that_the_records_do_not_give_is_marked(copy):
    path = copy[1] / "mini" / "table1.csv"
    frame = pd.read_csv(path)
    frame.loc[0, "accuracy_pct"] += 1
    frame.to_csv(path, index=False)
    (found,) = compose(Sources(scale="mini", results=copy[0], reports=copy[1])).data["records"]["differences"]
    assert found.startswith("llama-mini NTP NTP math500-mini: accuracy_pct is")


def test_arms_are_whatever_the_table_has(study):
    frame = pd.read_csv(study[1] / "mini" / "table1.csv")
    extra = frame[frame["sampling"] == "SBD gamma_low"].assign(
        sampling="SBD verified", paper_accuracy_pct=float("nan"), paper_nfe_speedup=float("nan")
    )
    wider = pd.concat([frame, extra], ignore_index=True)
    count = {
        "one": len(measured.table1(wider, "mini").rows), "changes": len(measured.changes(wider, "mini").rows),
        "speeds": len(predicted.speeds(wider, tables.load_timings(study[0], "mini", MODELS, BENCHMARKS)).rows),
    }  # fmt: skip
    assert count == {"one": 10, "changes": 8, "speeds": 6}
    cell = measured.changes(wider, "mini").rows[-1][2]
    assert cell[0] == "8B: \u2013", "the paper has no such arm"


def test_a_benchmark_of_speed_is_set_whatever_its_columns(copy, tmp_path):
    path = copy[1] / "mini" / "bench_decode.csv"
    pd.DataFrame(
        {"variant": ["ar", "sbd"], "batch": [1, 8], "ratio": [1.2345, float("nan")], "ok": [True, False]}
    ).to_csv(path, index=False)
    shutil.copy(copy[1] / "mini" / "figure3.pdf", path.with_suffix(".pdf"))
    path.with_suffix(".md").write_text("**Decoding compared**\n\nMedians of six rounds.\n")
    again = compose(Sources(scale="mini", results=copy[0], reports=copy[1]))
    (table,) = again.data["tables"]["bench"]
    assert table["rows"] == [[["ar"], ["1"], ["1.23"], ["True"]], [["sbd"], ["8"], ["\u2013"], ["False"]]]
    assert table["caption"] == "From bench_decode.csv, whole." and table["label"] == "Speed 1"
    assert table["labels"] == 1 and "bench" not in again.data["gaps"]
    text = text_of(pdf.write(again, tmp_path / "b.pdf"))
    assert "Speed figure 1. Decoding compared. Medians of six rounds." in text


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda made, reports: (reports / "mini/table1.csv").write_text("a,b\n1,2\n"), "lacks base_model"),
        (lambda made, reports: (reports / "audit.csv").write_text(""), "audit.csv"),
        (lambda made, reports: (reports / "mini/table2.csv").write_bytes(b"\xff\xfe\x00\x01"), "table2.csv"),
        (lambda made, reports: (reports / "mini/figure3.pdf").write_text("no PDF"), "figure3"),
        (lambda made, reports: (made / "mini/llama-mini/manifest.json").write_text("{"), "manifest.json"),
        (lambda made, reports: (reports / "mini/report.pdf").mkdir(), "report.pdf"),
    ],
)  # fmt: skip
def test_damaged_input_is_one_line(copy, capsys, spoil, told):
    spoil(*copy)
    assert run(copy) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and told in error and "\n" not in error


def test_what_is_not_there_is_one_line(tmp_path, capsys):
    assert run((tmp_path / "no", tmp_path / "where")) == 2
    assert "--results" in capsys.readouterr().err
    assert main(["--scale", "huge"]) == 2
    assert "'huge'" in capsys.readouterr().err


def test_the_committed_report_builds_fast_and_without_torch(tmp_path):
    code = (
        "import sys; from harness.report.__main__ import main; "
        f"code = main(['--out', {str(tmp_path / 'report.pdf')!r}]); "
        "print('loaded:', sorted({'torch', 'transformers'} & set(sys.modules))); sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 20, f"{spent:.1f} s of computing"
    assert (tmp_path / "report.pdf").read_bytes()[:5] == b"%PDF-"


def test_deviations_and_errata_are_all_there(document):
    source = (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8")
    items = [item for section in document.data["deviations"] for item in section["items"]]
    assert len(items) == len(re.findall(r"^- ", source, flags=re.MULTILINE)) > 10
    joined = "".join(piece for item in items for piece, _ in item)
    assert "`" not in joined and "**" not in joined
    assert all(erratum["holds"] for erratum in document.data["errata"]) and len(document.data["errata"]) == 10


def test_published_numbers_stand_in_the_paper_half_alone(document):
    cells = paper.load("table1").set_index(["base_model", "loss", "sampling", "benchmark"])["accuracy_pct"]
    row = printed(document, "table1")[0]
    assert row[2][2] == f"8B: {cells['Llama-3.1 8B', 'NTP', 'NTP', 'MATH500']}"
