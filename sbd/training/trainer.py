"""Alg. 1 as a transformers.Trainer: build x_hat for each step, run [x ; x_hat] once, sum both losses.

Devices, FSDP, checkpoints, schedules and loggers are the Trainer's; this file knows only the objective.

Shapes: B rows, L clean positions, N noisy positions, T = L + N, D hidden size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, Trainer

from sbd.attention import query_heads_per_key
from sbd.loss import cross_entropy_sum
from sbd.masks import Layout, block_mask, dense_mask
from sbd.noise import Documents, add_noise, clean_layout, draw_block_size
from sbd.training import tiles
from sbd.training.attention import keep_attention_in_float32
from sbd.training.config import TrainingConfig
from sbd.training.data import BATCH_FIELDS, OrderedRows
from sbd.training.optimizer import MuonWithAdamW, split_parameters

SUMS = ("ntp_sum", "matp_sum", "ntp_tokens", "matp_tokens", "positions", "block_size")


def install_objective(model: PreTrainedModel, config: TrainingConfig) -> None:
    """Replace the model's forward by one that returns the two summed losses (Eq. 14) instead of logits.

    The forward is replaced, not wrapped, so that DDP and FSDP see the model itself and checkpoints keep its names.

    Raises:
        ValueError: the model's logits are not a plain linear head on its last hidden states.
    """
    ids = torch.arange(4, device=model.device).unsqueeze(0)
    with torch.no_grad():
        expected = model(input_ids=ids, use_cache=False).logits
        actual = model.get_output_embeddings()(model.base_model(input_ids=ids, use_cache=False)[0])
    if not torch.allclose(expected, actual, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"model type {model.config.model_type!r} changes its logits after the head; SBD training needs a plain head"
        )
    if config.attention == "tiles":
        model.config._attn_implementation = tiles.NAME
    elif config.precision == "bfloat16" and config.attention == "sdpa" and not torch.accelerator.is_available():
        keep_attention_in_float32(model)
    body = torch.compile(model.base_model) if config.compile else model.base_model
    copies = query_heads_per_key(model.config)
    build_mask: Callable[[Layout], Any] = {
        "sdpa": lambda layout: dense_mask(layout, model.dtype),
        "flex_attention": block_mask,
        "tiles": lambda layout: tiles.TiledMask(layout, model.dtype, copies),
    }[config.attention]

    def forward(
        self: PreTrainedModel, ids: Tensor, layout: Layout, ntp_labels: Tensor, matp_labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        hidden_BTD = body(
            input_ids=ids, position_ids=layout.pos, attention_mask=build_mask(layout), use_cache=False
        )[0]  # fmt: skip
        head, clean = self.get_output_embeddings(), ntp_labels.shape[1]
        hidden_ntp = hidden_BTD[:, : clean - 1]  # the NTP head predicts the next token: shifted by one
        with torch.set_grad_enabled(config.objective != "sbd-no-ntp"):
            ntp = cross_entropy_sum(hidden_ntp, ntp_labels[:, 1:], head)  # Eq. 14, first sum.
        if matp_labels is None:
            return ntp, ntp.new_zeros(())
        matp = cross_entropy_sum(hidden_BTD[:, clean:], matp_labels, head)  # Eq. 14, second sum: not shifted.
        return ntp, matp

    model.forward = MethodType(forward, model)


class SBDTrainer(Trainer):
    """Trainer whose loss is NTP, NTP + MATP, or MATP alone, per next-token target of the whole optimiser step."""

    def __init__(
        self, *, config: TrainingConfig, mask_id: int, fill_id: int, model: PreTrainedModel, **kwargs: Any
    ) -> None:
        install_objective(model, config)
        super().__init__(model=model, **kwargs)
        self.config, self.mask_id, self.fill_id = config, mask_id, fill_id
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the targets of all accumulated batches
        self.sums: dict[str, Any] = dict.fromkeys(SUMS, 0.0)
        self.micro_step = (-1, 0)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        assert isinstance(self.train_dataset, OrderedRows)
        return SequentialSampler(self.train_dataset)  # it is in training order already

    def create_optimizer(self, *args: Any) -> torch.optim.Optimizer:
        """Return the optimiser of the configuration; the Trainer makes AdamW itself."""
        cfg = self.config
        if cfg.optimizer == "adamw":
            return super().create_optimizer(*args)
        matrices, others = split_parameters(self.accelerator.unwrap_model(self.model))
        self.optimizer = MuonWithAdamW(
            matrices, others, lr=cfg.lr, weight_decay=cfg.weight_decay, betas=(0.9, cfg.beta2)
        )  # fmt: skip
        return self.optimizer

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return the loss of one batch, divided by the number of next-token targets of the optimiser step."""
        ids, layout, matp_labels, block_size = self._noisy_batch(Documents(*(inputs[name] for name in BATCH_FIELDS)))
        ntp_sum, matp_sum = model(ids=ids, layout=layout, ntp_labels=inputs["labels"], matp_labels=matp_labels)
        total = matp_sum if self.config.objective == "sbd-no-ntp" else ntp_sum + matp_sum
        ntp_tokens = (inputs["labels"] >= 0).sum()
        self._count(ntp_sum, matp_sum, ntp_tokens, matp_labels, ids.numel(), block_size)
        if self.args.average_tokens_across_devices:
            total = total * self.accelerator.num_processes
        return total / (ntp_tokens if num_items_in_batch is None else num_items_in_batch)

    def _noisy_batch(self, docs: Documents) -> tuple[Tensor, Layout, Tensor | None, int]:
        """Return ids (B, T), layout, labels (B, N) and block size; the NTP objective has no noisy half."""
        cfg, step = self.config, self.state.global_step
        self.micro_step = (step, self.micro_step[1] + 1 if self.micro_step[0] == step else 0)
        block_size = draw_block_size(cfg.block_size_min, cfg.block_size_max, _generator(cfg.seed, step))
        clean = clean_layout(docs, block_size, cfg.grid, cfg.trim)
        if cfg.objective == "ntp":
            return docs.ids, clean, None, 0
        noisy = add_noise(
            docs, block_size=block_size, grid=cfg.grid, trim=cfg.trim, mask_id=self.mask_id, fill_id=self.fill_id,
            copies=cfg.noisy_copies, generator=_generator(cfg.seed, *self.micro_step, self.args.process_index),
        )  # fmt: skip
        return torch.cat([docs.ids, noisy.ids], dim=1), Layout.cat(clean, noisy.layout), noisy.labels, block_size

    def _count(
        self, ntp: Tensor, matp: Tensor, ntp_tokens: Tensor, matp_labels: Tensor | None, positions: int, block: int
    ) -> None:
        """Add this batch to the sums that the loss log averages; tensors stay on the device until they are read."""
        added = {
            "ntp_sum": ntp.detach(), "matp_sum": matp.detach(), "ntp_tokens": ntp_tokens, "positions": positions,
            "matp_tokens": 0 if matp_labels is None else (matp_labels >= 0).sum(),
        }  # fmt: skip
        for name, value in added.items():
            self.sums[name] = self.sums[name] + value
        self.sums["block_size"] = block / self.accelerator.num_processes  # the same in every process of a step

    def take_sums(self) -> dict[str, float]:
        """Return the sums over all processes since the last call, as numbers, and start again from zero."""
        values = torch.tensor([float(value) for value in self.sums.values()], dtype=torch.float64)
        total = self.accelerator.reduce(values.to(self.accelerator.device), reduction="sum").tolist()
        sums = dict(zip(self.sums, total, strict=True))
        self.sums = dict.fromkeys(self.sums, 0.0)
        return sums


def _generator(*key: int) -> torch.Generator:
    """Return a CPU generator that depends on the key alone, so that a resumed step draws what it would have drawn."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
