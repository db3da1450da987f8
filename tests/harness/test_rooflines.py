"""Tables 3 and 4 and their figure: every published cell, the files a reader gets, and the refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from harness import paper, reproduce
from harness.rooflines import RooflineOptions, build_figure, build_table3, build_table4


def test_table3_holds_every_published_cell(tmp_path: Path) -> None:
    csv, md, tex = build_table3(tmp_path, RooflineOptions())
    table = pd.read_csv(csv)
    assert list(table.columns) == ["batch_size", "kv_length", "block_size", "as_printed", "corrected", "paper"]
    assert table.paper.tolist() == paper.load("table3").slowdown.tolist()
    assert (table.as_printed - table.paper).abs().max() < 0.0006
    long_cache = table.query("batch_size == 1 and kv_length == 65536 and block_size == 64")
    assert long_cache.corrected.item() == pytest.approx(1.406, abs=0.0005)
    assert "1.016 / 1.406 / 1.016" in md.read_text(encoding="utf-8")
    assert "1.016 / 1.406 / 1.016" in tex.read_text(encoding="utf-8")


def test_table4_holds_every_published_cell(tmp_path: Path) -> None:
    csv, *_ = build_table4(tmp_path, RooflineOptions())
    table = pd.read_csv(csv)
    assert list(table.columns) == [
        "batch_size", "kv_length", "block_size", "nfe_speedup", "as_printed", "corrected", "paper"
    ]  # fmt: skip
    assert table.paper.tolist() == paper.load("table4").wallclock_speedup.tolist()
    assert (table.as_printed - table.paper).abs().max() < 0.0006
    assert (table.corrected <= table.nfe_speedup).all(), "no forward is faster than one of a single token"


def test_markdown_has_the_papers_layout(tmp_path: Path) -> None:
    _, md, _ = build_table3(tmp_path, RooflineOptions())
    title, _, header, _, *rows = md.read_text(encoding="utf-8").splitlines()
    assert header.split("|")[1:4] == [" batch size ", " kv length ", " k = 1 "]
    assert len([row for row in rows if row.startswith("|")]) == 4 * 8
    assert "roofline" in title and "- A prediction, not a measurement." in rows


def test_other_options_change_our_cells_and_the_file_but_not_the_papers(tmp_path: Path) -> None:
    default = pd.read_csv(build_table3(tmp_path, RooflineOptions())[0])
    paths = build_table3(tmp_path, RooflineOptions(gpu="b200", shape="qwen3-8b", dtype="bf16"))
    other = pd.read_csv(paths[0])
    assert paths[0].name == "table3-b200-qwen3-8b-bf16.csv"
    assert (other.paper == default.paper).all()
    assert (other.corrected != default.corrected).any() and (other.as_printed != default.as_printed).any()
    assert "qwen3-8b, B200, bf16" in paths[1].read_text(encoding="utf-8")


def test_a_config_file_serves_as_shape(tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 600,
    }  # fmt: skip
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    paths = build_table4(tmp_path, RooflineOptions(shape=str(folder)))
    assert paths[0].name == "table4-h100-paper-my-model-fp8.csv"


def test_figure_is_drawn_as_png_and_vector_pdf(tmp_path: Path) -> None:
    png, pdf = build_figure(tmp_path, RooflineOptions())
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    assert b"/Subtype /Image" not in pdf.read_bytes()
    again = build_figure(tmp_path / "again", RooflineOptions())
    assert again[1].read_bytes() == pdf.read_bytes(), "the same figure is the same file"


def test_tables_need_no_torch_and_little_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.rooflines import *; o = RooflineOptions(); "
        f"build_table3(Path({str(tmp_path)!r}), o); build_table4(Path({str(tmp_path)!r}), o); "
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout == "False False\n", done.stderr
    start = time.process_time()
    build_table3(tmp_path, RooflineOptions())
    build_table4(tmp_path, RooflineOptions())
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpu": "tpu"}, "unknown GPU 'tpu'.*h100"),
        ({"shape": "llama-9"}, "unknown model shape 'llama-9'.*qwen3-mini.*config.json"),
        ({"dtype": "fp4"}, "unknown dtype 'fp4'.*fp8, bf16"),
        ({"gpu": "a100"}, "no fp8 peak"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RooflineOptions(**options)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["--table", "3"], "roofline/table3.csv"),
        (["--table", "4", "--gpu", "h200", "--dtype", "bf16"], "roofline/table4-h200-paper-8b-bf16.csv"),
        (["--figure", "roofline"], "roofline/roofline.pdf"),
        (["--audit"], "audit.csv"),
    ],
)
def test_the_command_line_reaches_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], file: str
) -> None:
    assert reproduce.main([*arguments, "--out", str(tmp_path)]) == 0
    path = tmp_path / "reports" / file
    assert path.is_file() and str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "3", "--gpu", "tpu"], "unknown GPU 'tpu'"),
        (["--figure", "99"], "--figure '99': unknown; choose from 1, 3, 4, 5, 12, 13, roofline"),
    ],
)
def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert reproduce.main([*arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_tables_of_the_roofline_start_without_torch() -> None:
    code = "import sys, harness.reproduce; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root).stdout == "False\n"
