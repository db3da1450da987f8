"""The autoregressive decoder (AR): the engine with forwards one token wide, each of which reveals the next token.

Knows what sbd.engine and sbd.rows know.

Shapes: B rows, R rows of a new prompt, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sbd.engine import Engine, Step
from sbd.rows import AR, EOS, LENGTH, RUNNING, Rows


class AutoregressiveRows(Rows):
    """Rows that reveal one token a forward, the one at `start_B`; a row's last token is never in the cache."""

    def task_B(self) -> Tensor:
        """Return each row's task in the next forward."""
        return AR * self.live_B

    def reach_B(self) -> Tensor:
        """Return how many tokens behind its cached past each row's next forward holds."""
        return self.live_B.long()

    def reveal(self, logits_B1V: Tensor, taking_B: Tensor, generator: torch.Generator | None) -> None:
        """Write the next token of the rows that took part, and end those that it ends.

        Args:
            taking_B: live rows that took part in the forward.
        """
        logits_BV, taking_B1, place_B1 = logits_B1V.squeeze(1), taking_B.unsqueeze(1), self.start_B.unsqueeze(1)
        next_B1 = self._next_tokens(logits_BV, generator).unsqueeze(1)
        if self.watched:
            self.choice = self._chosen(taking_B1, taking_B1, next_B1, self._read(logits_BV))
        self.token_BN.scatter_(1, place_B1, torch.where(taking_B1, next_B1, self.token_BN.gather(1, place_B1)))
        self.known_B += taking_B
        reason_B = torch.where(self.known_B >= self.settings.max_new_tokens, LENGTH, RUNNING)
        reason_B = reason_B.masked_fill(self._is_eos(next_B1).squeeze(1), EOS)
        self.reason_B.copy_(torch.where(taking_B, reason_B, self.reason_B))
        self.start_B += taking_B & self.live_B


class AutoregressiveEngine(Engine):
    """The engine of autoregressive decoding."""

    ROWS = AutoregressiveRows

    def _prefilled(self, logits_R1V: Tensor, row_R: Tensor) -> None:
        """Reveal the first token of the rows that were prefilled."""
        logits_B1V = logits_R1V.new_zeros(self.count, *logits_R1V.shape[1:]).index_copy_(0, row_R, logits_R1V)
        taking_B = torch.zeros_like(self.rows.live_B).index_fill_(0, row_R, True)
        self.rows.reveal(logits_B1V, taking_B, self.generator)

    def _decode(self, step: Step) -> None:
        """One forward of width 1: commit each row's last token and predict its next."""
        rows = self.rows
        live_B = rows.live_B
        ids = rows.token_BN.gather(1, (rows.start_B - 1).clamp(min=0).unsqueeze(1))
        real_B = live_B.long()
        logits = self._forward(ids, step, block=0, keep=1, real_B=real_B)
        self.cache.commit(real_B)
        rows.reveal(logits, live_B, self.generator)
