"""One training run from configuration to finished checkpoint, resumable at any moment.

Layout of the output folder: the checkpoint (plain Hugging Face files and sbd_config.json), training.json (settings,
time, hardware), losses.jsonl (one line a step), and while it runs `.state/` with the Trainer's resumable checkpoints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)  # fmt: skip

from sbd.config import SBDConfig
from sbd.model import add_mask_token, check_architecture
from sbd.training.config import TrainingConfig
from sbd.training.data import Document, OrderedRows, batch_order, collate, pack, read_records, tokenize
from sbd.training.trainer import SBDTrainer

COMPLETE = "complete"
"""Marker file of a resumable state that was written to its end."""


def train(config: TrainingConfig) -> Path:
    """Run or resume the training and return the folder of the finished checkpoint.

    Raises:
        ValueError: the output folder holds a run with other settings, or data or model cannot be used.
    """
    output = Path(config.output)
    state = output / ".state"
    if (output / "training.json").is_file():
        raise ValueError(f"{config.output!r} holds a finished training; remove the folder or choose another output")
    _claim(state, config)
    set_seed(config.seed)
    tokenizer = AutoTokenizer.from_pretrained(config.tokenizer or config.model)
    model = _build_model(config)
    mask_id = add_mask_token(model, tokenizer)
    documents = [
        d for source in config.data for d in tokenize(read_records(source), tokenizer, config.max_length, source)
    ]
    trainer = _build_trainer(config, model, tokenizer, documents, mask_id, state)
    resume = _latest_complete(state)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if trainer.is_world_process_zero():
        _export(config, trainer, tokenizer, mask_id, len(documents), output)
        shutil.rmtree(state)
    return output


def _claim(state: Path, config: TrainingConfig) -> None:
    """Make the state folder, or refuse one that other settings made: resuming it would mix two runs."""
    settings = json.dumps(dataclasses.asdict(config), indent=1, sort_keys=True)
    path = state / "config.json"
    state.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_text(encoding="utf-8") != settings:
        raise ValueError(
            f"{str(state)!r} is the state of a run with other settings; remove it or choose another output"
        )
    path.write_text(settings, encoding="utf-8")


def _build_model(config: TrainingConfig) -> PreTrainedModel:
    attention = "sdpa" if config.attention == "tiles" else config.attention  # those come with the objective
    if config.model is not None:
        model = AutoModelForCausalLM.from_pretrained(config.model, dtype=torch.float32, attn_implementation=attention)
    else:
        architecture = dict(config.architecture or {})
        model_config = AutoConfig.for_model(architecture.pop("model_type"), **architecture)
        model = AutoModelForCausalLM.from_config(
            model_config, dtype=torch.float32, attn_implementation=attention
        )
    check_architecture(model.config)
    return model


def _build_trainer(
    config: TrainingConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: list[Document],
    mask_id: int, state: Path,
) -> SBDTrainer:  # fmt: skip
    rows = pack(documents, config.max_length) if config.pack else [[document] for document in documents]
    args = TrainingArguments(
        output_dir=str(state), max_steps=config.steps, per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation, learning_rate=config.lr, warmup_steps=config.warmup,
        lr_scheduler_type="cosine", weight_decay=config.weight_decay, adam_beta2=config.beta2,
        max_grad_norm=config.max_grad_norm, seed=config.seed, bf16=config.precision == "bfloat16",
        use_cpu=not torch.accelerator.is_available(),  # without it the Trainer refuses bfloat16 on a CPU
        save_steps=config.save_every, save_total_limit=2, remove_unused_columns=False, logging_strategy="no",
        dataloader_pin_memory=torch.cuda.is_available(), **{"report_to": "none", **config.trainer},
    )  # fmt: skip
    total = config.steps * config.batch_size * config.accumulation * args.world_size
    lengths = [sum(len(document.ids) for document in row) for row in rows]
    order = batch_order(lengths, config.batch_size * args.world_size, total, config.seed)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    trainer = SBDTrainer(
        config=config, mask_id=mask_id, fill_id=tokenizer.eos_token_id, model=model, args=args,
        train_dataset=OrderedRows(rows, order), data_collator=lambda batch: collate(batch, pad_id),
    )  # fmt: skip
    trainer.add_callback(LossLog(trainer, state.parent / "losses.jsonl"))
    return trainer


def _latest_complete(state: Path) -> Path | None:
    """Return the newest state that was written to its end, if any."""
    complete = [marker.parent for marker in state.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


class LossLog(TrainerCallback):
    """Writes one JSON line a step (losses in nats per token) and marks each saved state as complete."""

    def __init__(self, trainer: SBDTrainer, path: Path) -> None:
        self.trainer, self.path = trainer, path

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Drop the lines of steps that are about to be done again."""
        if not state.is_world_process_zero:
            return
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        self.path.write_text("".join(line + "\n" for line in lines[: state.global_step]), encoding="utf-8")
        self.clock = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Append the line of the step that has just ended."""
        sums = self.trainer.take_sums()
        if not state.is_world_process_zero:
            return
        now, before = time.perf_counter(), self.clock
        self.clock = now
        record = {
            "step": state.global_step,
            "ntp_loss": sums["ntp_sum"] / max(sums["ntp_tokens"], 1),
            "matp_loss": sums["matp_sum"] / sums["matp_tokens"] if sums["matp_tokens"] else None,
            "ntp_tokens": int(sums["ntp_tokens"]),
            "matp_tokens": int(sums["matp_tokens"]),
            "positions": int(sums["positions"]),
            "block_size": int(sums["block_size"]),
            "lr": kwargs["lr_scheduler"].get_last_lr()[0],
            "seconds": round(now - before, 4),
        }
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the state that was just written."""
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def _export(
    config: TrainingConfig,
    trainer: SBDTrainer,
    tokenizer: PreTrainedTokenizerBase,
    mask_id: int,
    documents: int,
    output: Path,
) -> None:
    """Write the finished checkpoint as a plain Hugging Face folder, with what made it beside."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.to(getattr(torch, config.export_dtype)).save_pretrained(output)
    tokenizer.save_pretrained(output)
    SBDConfig(
        mask_token_id=mask_id, block_size_min=config.block_size_min, block_size_max=config.block_size_max,
        objective=config.objective, grid=config.grid,
    ).save(output)  # fmt: skip
    steps = [json.loads(line) for line in (output / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    report = {
        "settings": dataclasses.asdict(config),
        "data_sha256": {source: _sha256(source) for source in config.data if Path(source).is_file()},
        "documents": documents,
        "parameters": model.num_parameters(),
        "seconds": round(sum(step["seconds"] for step in steps), 1),
        "positions": sum(step["positions"] for step in steps),
        "hardware": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
    (output / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
