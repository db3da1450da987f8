"""Scores checkpoints on the multiple-choice sets with lm-eval: log-likelihoods of the NTP head (Eq. 9a) -> records."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness import machine
from harness.arms import DTYPE, run_id, weights_hash
from harness.choices import FOLDER, TASKS
from harness.results import ArmFile, Choice, note

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One checkpoint on one set."""

    scale: str
    model: str
    loss: str
    task: str
    checkpoint: Path

    @property
    def configuration(self) -> dict[str, Any]:
        """Everything that decides the records, as plain JSON values."""
        return {
            "scale": self.scale, "model": self.model, "loss": self.loss, "task": self.task,
            "weights_hash": weights_hash(self.checkpoint), "dtype": DTYPE,
            "scored": "lm-eval multiple_choice, version 1",
        }  # fmt: skip

    def file(self, results: Path) -> ArmFile[Choice]:
        """Return the records that are there, ready for more."""
        return ArmFile(choice_path(results, self.scale, self.model, self.loss, self.task), Choice, self.run_id)

    @property
    def run_id(self) -> str:
        """Hash of the configuration."""
        return run_id(self.configuration)


def choice_path(results: Path, scale: str, model: str, loss: str, task: str) -> Path:
    """File of a checkpoint's records on one set."""
    return results / scale / model / f"{loss}-likelihood" / f"{task}.jsonl"


def score(
    scale: str, model: str, checkpoints: dict[str, Path], results: Path, count: int, device: str, command: str
) -> int:
    """Bring each checkpoint (loss -> folder) up to the first `count` items of every set; returns the records made.

    Raises:
        ValueError: where lm-eval is not installed, or files are damaged or of other weights.
        OSError: where records cannot be written.
    """
    made = 0
    for loss, checkpoint in checkpoints.items():
        parts = [Scored(scale=scale, model=model, loss=loss, task=task, checkpoint=checkpoint) for task in TASKS]
        files = {part.task: part.file(results) for part in parts}
        todo = [part for part in parts if len(files[part.task].lines) < count]
        if not todo:
            continue
        samples = _evaluate(checkpoint, [part.task for part in todo], count, device)
        facts = machine.facts(torch.device(_device(device))) | {"command": command, "items": count}
        for part in todo:
            file = files[part.task]
            note(file.path.parent, {"run_id": part.run_id, "configuration": part.configuration, **facts})
            with file:
                for line in (_choice(part, sample) for sample in samples[part.task]):
                    if line.key not in file:
                        file.append(line)
                        made += 1
    return made


def _choice(part: Scored, sample: dict[str, Any]) -> Choice:
    sums = [float(answer[0]) for answer in sample["filtered_resps"]]
    return Choice(
        run_id=part.run_id, scale=part.scale, model=part.model, weights_hash=weights_hash(part.checkpoint),
        loss=part.loss, task=part.task, item_id=sample["doc"]["item_id"], label=int(sample["doc"]["label"]),
        loglikelihoods=[round(value, 4) for value in sums], correct=bool(sample["acc"]),
        correct_normalised=bool(sample["acc_norm"]),
    )  # fmt: skip


def _evaluate(checkpoint: Path, tasks: Sequence[str], count: int, device: str) -> dict[str, list[dict[str, Any]]]:
    """Return lm-eval's samples of each task."""
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ValueError(f"Table 2 needs lm-eval ({error}); pip install 'set-block-decoding[eval]'") from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lm = HFLM(pretrained=str(checkpoint), device=_device(device), dtype=DTYPE, batch_size=BATCH)
    tasks_here = TaskManager(include_path=str(FOLDER), include_defaults=False)
    outcome = simple_evaluate(
        model=lm, tasks=list(tasks), task_manager=tasks_here, limit=count, log_samples=True, bootstrap_iters=0
    )
    assert outcome is not None
    return outcome["samples"]


def _device(name: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
