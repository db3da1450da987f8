"""The optimisers of a training run: AdamW as in the paper, or Muon for the matrices inside the transformer.

Muon (Jordan et al., 2024; torch.optim.Muon) orthogonalises the update of every weight matrix. Small models learn from
fewer tokens with it; embeddings, the head and vectors stay with AdamW. Knows parameters and learning rates only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedModel

OPTIMIZERS = ("adamw", "muon")


def split_parameters(model: PreTrainedModel) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the weight matrices between embedding and head, and all other parameters that train."""
    outer = [module for module in model.modules() if isinstance(module, nn.Embedding)] + [model.get_output_embeddings()]
    outside = {id(p) for module in outer for p in module.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    inside = [p for p in trained if p.ndim == 2 and id(p) not in outside]
    chosen = {id(p) for p in inside}
    return inside, [p for p in trained if id(p) not in chosen]


class MuonWithAdamW(Optimizer):
    """Muon and AdamW behind one optimiser's face, so that schedules and checkpoints need not know of two.

    Args:
        matrices, others: parameters of Muon and of AdamW.
        lr: learning rate of both; Muon's update is scaled to the size of AdamW's, so one rate serves.
        weight_decay: decoupled, of both; vectors (biases, norms) have none.
        betas: of AdamW.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], *, lr: float, weight_decay: float,
        betas: tuple[float, float],
    ) -> None:  # fmt: skip
        muon = Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        groups = [{"params": [p]} if p.ndim > 1 else {"params": [p], "weight_decay": 0.0} for p in others]
        self.parts: tuple[Optimizer, ...] = (muon, AdamW(groups, lr=lr, weight_decay=weight_decay, betas=betas))
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Let both update their parameters."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both; the parameter groups stay those that they share with this optimiser."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
