"""Algs. 2 and 3 and the autoregressive decoder in one engine: rows of a batch advance, stop and are charged each alone.

Knows the model's forward, its cache, the rows and the clock; knows nothing of how rows choose their tokens.

Alg. 3, k = 4: a row with a finished block b commits it (causal) in the forward that starts its next block; a row still
inside its block has padding there. Without any row to commit, the forward is k wide.

    row 0   b0 b1 b2 b3 | m  m  m  m      fused: b enters the cache, the next block starts
    row 1   .  .  .  .  | c0 m  c2 m      block: the row goes on revealing c

Shapes: B rows, K positions of a block (1 for AR), L prompt length.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sbd.ledger import Forward, Verification
from sbd.model import forward, new_cache
from sbd.rows import FindStop, Rows, Settings, Watch

PREFILL_CHUNK = 2048
"""Prompt tokens of one prefill forward, so that its mask stays small beside the cache."""


class Engine:
    """One batch being decoded: the model, its cache, the rows, and the clock."""

    watch: Watch | None = None
    """Who looks on: called after every forward."""

    def __init__(
        self, model: PreTrainedModel, prompts: list[Tensor], settings: Settings, generator: torch.Generator | None
    ) -> None:
        self.model, self.settings, self.generator, self.width = model, settings, generator, settings.width
        self.rows = self._new_rows(len(prompts))
        longest = max(len(prompt) for prompt in prompts)
        self.cache = new_cache(model, len(prompts), longest + self.rows.token_BN.shape[1] + self.width)
        self.forwards: list[Forward] = []
        self.prompt_B = torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        flipped = [prompt.flip(0) for prompt in prompts]
        padded = torch.nn.utils.rnn.pad_sequence(flipped, batch_first=True, padding_value=settings.pad_id)
        self.prompt_BL = padded.flip(1).to(model.device)  # right-aligned

    def _new_rows(self, count: int) -> Rows:
        return Rows(self.settings, count, self.model.device)

    def verification(self) -> Verification | None:
        """Return how drafts fared, where they are verified."""
        return None

    def run(self, find_stop: FindStop | None) -> None:
        """Decode all rows to their end."""
        self.clock = time.perf_counter()
        self.alive = [True] * self.rows.live_B.shape[0]
        self._prefill(find_stop)
        while any(self.alive):
            kind, width = self._step()
            self._finish(kind, width, find_stop)

    def _step(self) -> tuple[str, int]:
        """Do one decoding forward and return its kind and width."""
        if self.settings.decoding == "ar":
            self._step_ar()
            return "ar", 1
        self._step_sbd(self.committing)
        return ("fused", 2 * self.width) if self.committing else ("block", self.width)

    def _prefill(self, find_stop: FindStop | None) -> None:
        """Fill the cache with the prompts (causal); AR reads its first token from the last logits."""
        length = self.prompt_BL.shape[1]
        for end in range((length - 1) % PREFILL_CHUNK + 1, length + 1, PREFILL_CHUNK):
            ids = self.prompt_BL[:, max(0, end - PREFILL_CHUNK) : end]
            real_B = (self.prompt_B - (length - end)).clamp(min=0, max=ids.shape[1])
            logits = forward(self.model, self.cache, ids, block=0, keep=1, real_B=real_B, span=end)
            self.cache.commit(real_B)
            self.rows.nfe["prefill"] += real_B > 0
            if end == length and self.settings.decoding == "ar":
                self.rows.reveal(logits, self.generator)
            self._finish("prefill", ids.shape[1], find_stop)

    def _step_sbd(self, fused: bool) -> None:
        """One forward of Alg. 3: commit finished blocks where there are any, and predict every row's block."""
        rows, k = self.rows, self.width
        place_BK = rows.place_BK()
        commit_B = rows.pending_B & rows.live_B
        ids = rows.token_BN.gather(1, place_BK)
        if fused:
            ids = torch.cat([rows.token_BN.gather(1, (place_BK - k).clamp(min=0)), ids], dim=1)
        real_B = k * (rows.live_B.long() + commit_B)
        logits = forward(self.model, self.cache, ids, block=k, keep=k, real_B=real_B, span=self.longest + k)
        self.cache.commit(k * commit_B)
        rows.pending_B = rows.pending_B & ~commit_B
        rows.nfe["fused"] += commit_B
        rows.nfe["block"] += rows.live_B & ~commit_B
        rows.reveal(logits, self.generator)

    def _step_ar(self) -> None:
        """One forward of width 1: commit each row's last token and predict its next."""
        rows = self.rows
        live_B = rows.live_B
        ids = rows.token_BN.gather(1, (rows.start_B - 1).clamp(min=0).unsqueeze(1))
        logits = forward(self.model, self.cache, ids, block=0, keep=1, real_B=live_B.long(), span=self.longest)
        self.cache.commit(live_B.long())
        rows.nfe["ar"] += live_B
        rows.reveal(logits, self.generator)

    def _finish(self, kind: str, width: int, find_stop: FindStop | None) -> None:
        """Enter the forward that was done into the ledger, and look at what comes next."""
        was_live = self.alive
        if find_stop is not None:
            self.rows.cut(find_stop, was_live)
        self._look()
        now = time.perf_counter()
        self.forwards.append(Forward(kind=kind, width=width, rows=sum(was_live), seconds=now - self.clock))
        self.clock = now
        if self.watch is not None:
            self.watch(self.forwards[-1], self.rows)
            self.clock = time.perf_counter()  # looking on is not the model's time

    def _look(self) -> None:
        """Ask the device, once per forward, who goes on; this waits for the forward, as the clock must."""
        rows = self.rows
        live_B = rows.live_B
        committing_B = live_B & rows.pending_B
        after_B = (self.cache.length_B + self.width * committing_B) * live_B
        alive, committing, after = torch.stack([live_B.long(), committing_B.long(), after_B]).tolist()
        self.alive, self.committing, self.longest = [bool(live) for live in alive], any(committing), max(after)
