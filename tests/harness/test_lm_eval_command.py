"""The installed `lm_eval` command with `--model sbd`: what the wheels carry, one process, two ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from harness import lm_eval_model
from harness.lm_eval_hook import Finder
from harness.tasks import TASKS

ROOT = Path(__file__).parents[2]
LINE = "import _sbd_lm_eval_hook\n"

TASK = """
task: tiny_local
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
output_type: generate_until
num_fewshot: 0
generation_kwargs: {until: ["e"], max_gen_toks: 24}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def build(kind: str, folder: Path) -> zipfile.ZipFile:
    """Build a wheel, "wheel" or "editable", as pip does."""
    backend = pytest.importorskip("hatchling.build")
    pytest.importorskip("editables")
    folder.mkdir()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return zipfile.ZipFile(folder / getattr(backend, f"build_{kind}")(str(folder)))
    finally:
        os.chdir(before)


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_both_kinds_of_wheel_carry_the_hook(kind: str, tmp_path: Path) -> None:
    wheel = build(kind, tmp_path / kind)
    assert wheel.read("sbd_lm_eval.pth").decode() == LINE
    assert wheel.read("_sbd_lm_eval_hook.py") == (ROOT / "harness" / "lm_eval_hook.py").read_bytes()
    names = set(wheel.namelist())
    own = {f"harness/tasks/{path.name}" for path in TASKS.iterdir() if path.is_file()}
    assert own <= names if kind == "wheel" else not own & names


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment for commands: this project installed, for real or by its wheel on a site path."""
    folder = tmp_path_factory.mktemp("installed")
    env = os.environ | {
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
        "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    probe = subprocess.run([sys.executable, "-c", "import _sbd_lm_eval_hook"], env=env, cwd=folder, capture_output=True)
    if probe.returncode:
        build("editable", folder / "wheel").extractall(folder / "site")
        start = folder / "start" / "sitecustomize.py"
        start.parent.mkdir()
        start.write_text(f"import site\nsite.addsitedir({str(folder / 'site')!r})\n")
        env["PYTHONPATH"] = str(start.parent)
    return env


def evaluate(command: list[str], checkpoint: Path, folder: Path, env: dict[str, str]) -> tuple[dict, list[dict]]:
    """Run the command on five local problems and return its results and samples files."""
    data, task = folder / "problems.jsonl", folder / "tasks" / "tiny.yaml"
    task.parent.mkdir(parents=True)
    problems = [{"question": f"What is {number} * {number + 7}?", "answer": "7"} for number in range(5)]
    data.write_text("\n".join(map(json.dumps, problems)))
    task.write_text(TASK.replace("DATA", str(data)))
    arguments = [
        "--model", "sbd", "--model_args", f"pretrained={checkpoint},gamma=0.35,block_size=8,sampler=eb_entropy",
        "--tasks", "tiny_local", "--include_path", str(task.parent), "--device", "cpu", "--batch_size", "2",
        "--output_path", str(folder / "out"), "--log_samples",
    ]  # fmt: skip
    done = subprocess.run([*command, *arguments], env=env, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (folder / "out").rglob("results_*.json")
    (samples,) = (folder / "out").rglob("samples_*.jsonl")
    return json.loads(results.read_text()), [json.loads(line) for line in samples.read_text().splitlines()]


def essence(found: tuple[dict, list[dict]]) -> tuple[list[Any], dict[str, Any], list[Any]]:
    """Return what must not depend on the number of ranks: answers, totals and costs, without times."""
    results, samples = found
    own = results["config"]["sbd"]
    texts = sorted((sample["doc_id"], sample["resps"], sample["exact_match"]) for sample in samples)
    totals = {name: value for name, value in own["totals"].items() if name != "seconds"}
    rows = [
        {name: value for name, value in row.items() if name not in ("seconds", "batch_rows")}
        for row in own["samples"]["tiny_local"]
    ]
    return texts, totals, rows


@pytest.mark.timeout(900)
def test_the_command_alone_and_on_two_ranks(
    varied_checkpoint: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    here = Path(sys.executable).parent
    alone = evaluate([str(here / "lm_eval")], varied_checkpoint, tmp_path / "one", environment)
    own = alone[0]["config"]["sbd"]
    assert (own["decoding"], own["gamma"], own["block_size"], own["totals"]["answers"]) == ("sbd", 0.35, 8, 5)
    assert [row["doc_id"] for row in own["samples"]["tiny_local"]] == list(range(5))
    assert own["totals"]["nfe"]["prefill"] == 5 and own["totals"]["nfe_decode"] >= 5
    ranks = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "lm_eval"]
    together = evaluate(ranks, varied_checkpoint, tmp_path / "two", environment)
    assert essence(together) == essence(alone)


def test_the_finder_minds_one_module_only() -> None:
    assert Finder().find_spec("lm_eval.tasks", None) is None and Finder().find_spec("json", None) is None


def test_the_explicit_way_adds_model_tasks_and_data(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setenv("SBD_DATA_DIR", "elsewhere")
    seen: list[list[str]] = []
    monkeypatch.setattr(lm_eval_model, "cli_evaluate", lambda: seen.append(sys.argv[1:]))
    assert lm_eval_model.main(["--tasks", "paper_gsm8k", "--data-dir", "here"]) == 0
    assert seen == [["--tasks", "paper_gsm8k", "--model", "sbd", "--include_path", str(TASKS)]]
    assert os.environ["SBD_DATA_DIR"] == "here"
    assert lm_eval_model.main(["--model=hf", "--include_path", "mine"]) == 0
    assert seen[1] == ["--model=hf", "--include_path", "mine"]
    assert lm_eval_model.main(["ls", "tasks"]) == 0
    assert seen[2] == ["ls", "tasks", "--include_path", str(TASKS)]

    def refuse() -> None:
        raise ValueError("no data for gsm8k")

    monkeypatch.setattr(lm_eval_model, "cli_evaluate", refuse)
    assert lm_eval_model.main([]) == 2 and capsys.readouterr().err == "error: no data for gsm8k\n"

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lm_eval_model, "cli_evaluate", interrupt)
    assert lm_eval_model.main([]) == 130 and "stopped" in capsys.readouterr().err
