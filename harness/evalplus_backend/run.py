"""One checkpoint on one of evalplus's data sets: generation that resumes, scoring, and our records of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalplus.codegen import codegen

from harness.arms import run_id, weights_hash
from harness.engine import Engine
from harness.evalplus_backend.data import DATASETS
from harness.evalplus_backend.decoder import Sampling, SBDDecoder, as_evalplus_sends
from harness.evalplus_backend.scoring import Verdict, score
from harness.results import ArmFile, Record, drop_torn_line
from sbd.model import SBDConfig

GAMMAS = {0.35: "SBD gamma_low", 0.6: "SBD gamma_high"}
"""Entropy budgets in nats of Table 1's chat benchmarks."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One checkpoint, one way of decoding, one data set; its files stand below `out`."""

    checkpoint: Path
    dataset: str
    sampling: Sampling
    chat: bool
    scale: str
    out: Path
    data_hash: str

    @property
    def loss(self) -> str:
        """What the checkpoint was trained for, by its sbd_config.json; "ntp" where it has none."""
        is_sbd = (self.checkpoint / "sbd_config.json").is_file()
        return SBDConfig.read(self.checkpoint).objective if is_sbd else "ntp"

    @property
    def model(self) -> str:
        """The checkpoint's name: its folder's, or the folder's above where that one only says the loss."""
        folder = self.checkpoint.resolve()
        return folder.parent.name if folder.name in ("base", "ntp", "sbd") else folder.name

    @property
    def sampling_name(self) -> str:
        """The name in Table 1 where it is one of its ways of decoding."""
        how = self.sampling
        if how.decoding == "ar":
            return "NTP"
        if (how.sampler, how.block_size) == ("eb_entropy", 16) and how.gamma_nats in GAMMAS:
            return GAMMAS[how.gamma_nats]
        return f"SBD {how.sampler} {how.gamma_nats:g} k{how.block_size}"

    def configuration(self, benchmark: str) -> dict[str, Any]:
        """Return everything that decides the records."""
        return {
            "scale": self.scale, "model": self.model, "loss": self.loss, "sampling": self.sampling_name,
            "benchmark": benchmark, "weights_hash": weights_hash(self.checkpoint), "chat": self.chat,
            "data_hash": self.data_hash, **vars(self.sampling),
        }  # fmt: skip

    @property
    def folder(self) -> Path:
        """Where this run's files stand."""
        return self.out / self.scale / self.model / f"{self.loss}-{self.sampling_name}".replace(" ", "_")

    def file(self, benchmark: str) -> ArmFile[Record]:
        """Return the records of one of the two benchmarks, dataset or dataset-plus."""
        return ArmFile(self.folder / f"{benchmark}.jsonl", Record, run_id(self.configuration(benchmark)))

    @property
    def samples(self) -> Path:
        """evalplus's samples; its name holds the run id, so that other settings never resume it."""
        return self.folder / "evalplus" / f"{self.dataset}-{run_id(self.configuration(self.dataset))}.jsonl"


def generate(run: Run, problems: Sequence[dict[str, Any]], engine: Engine, batch_size: int) -> None:
    """Have evalplus generate what its samples file lacks of these problems.

    A text on which evalplus's own clean-up fails becomes the empty solution.
    """
    run.samples.parent.mkdir(parents=True, exist_ok=True)
    subset = run.samples.with_suffix(".problems.jsonl")
    subset.write_text("".join(json.dumps(problem) + "\n" for problem in problems), encoding="utf-8")
    DATASETS[run.dataset].override(str(subset))
    notes = run.samples.with_suffix(".notes.jsonl")
    for path in (run.samples, notes):
        if path.is_file():
            drop_torn_line(path)
    done = _by_task(run.samples)
    prompts = {p["task_id"]: as_evalplus_sends(p) for p in problems if p["task_id"] not in done}
    while prompts:
        decoder = SBDDecoder(engine, run.dataset, run.sampling, prompts, notes, batch_size, run.chat)
        try:
            codegen(str(run.samples), decoder, run.dataset, greedy=run.sampling.temperature == 0)
            return
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if not decoder.current or decoder.current in _by_task(run.samples):
                raise
            with run.samples.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"task_id": decoder.current, "solution": ""}) + "\n")
        done = _by_task(run.samples)
        prompts = {task: prompt for task, prompt in prompts.items() if task not in done}


def _by_task(path: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of a JSONL file by task id, the last of each."""
    if not path.is_file():
        return {}
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {line["task_id"]: line for line in lines}


def judge(run: Run, problems: Sequence[dict[str, Any]], tier: str, workers: int | None) -> list[ArmFile[Record]]:
    """Score the solutions that have no record yet, and append their records to both files."""
    samples, notes = _by_task(run.samples), _by_task(run.samples.with_suffix(".notes.jsonl"))
    names = (run.dataset, f"{run.dataset}-plus")
    files = [run.file(name) for name in names]
    missing = [problem for problem in problems if any(problem["task_id"] not in file for file in files)]
    solutions = {task: line["solution"] for task, line in samples.items()}
    verdicts = score(run.dataset, missing, solutions, tier=tier, workers=workers)
    for problem in missing:
        task = problem["task_id"]
        verdict = verdicts[task]
        for file, name, correct in zip(files, names, (verdict.base_passed, verdict.plus_passed), strict=True):
            if task not in file:
                file.append(_record(run, name, problem, notes[task], solutions[task], verdict, correct))
    for file in files:
        file.release()
    return files


def _record(
    run: Run, benchmark: str, problem: dict[str, Any], noted: dict[str, Any], solution: str, verdict: Verdict,
    correct: bool,
) -> Record:  # fmt: skip
    configuration = run.configuration(benchmark)
    common = {name: value for name, value in configuration.items() if name in Record.__dataclass_fields__}
    failed = noted["error"]
    tests = verdict.error or f"base tests: {verdict.base}, plus tests: {verdict.plus}"
    blank = {
        "generated_ids": [], "stop_reason": "error", "nfe": {}, "nfe_decode": 0, "batch_rows": 1,
        "seconds": {"prefill": 0.0, "decode": 0.0},
    }  # fmt: skip
    return Record(
        **common, run_id=run_id(configuration), item_id=problem["task_id"], correct=correct and failed is None,
        prompt_hash=hashlib.sha256(as_evalplus_sends(problem).encode()).hexdigest()[:16], extracted=solution,
        error=failed or (None if correct else tests), nfe_budget=None, sandbox=verdict.sandbox, text=noted["text"],
        **{name: noted.get(name, value) for name, value in blank.items()},
    )  # fmt: skip
