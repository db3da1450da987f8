"""The rows of a batch while they are decoded: their settings, revealed tokens, places and ends, all on the device.

Knows token ids, logits and a sampler (Alg. 2); knows nothing of models, caches or clocks, nor of prompts and text. All
state is changed in place and nothing makes the host wait, so that a step can be replayed as a CUDA graph. (Hence
`masked_fill`: `where` with one number among its arguments copies that to the device and waits.)

Shapes: B rows, R rows of a new prompt, K positions of a block (1 for AR), N new positions of a row or rows of logits,
V vocabulary, S suppressed ids, E end ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sbd.kernels import Statistics, draw, statistics
from sbd.ledger import Forward
from sbd.samplers import SAMPLERS, check_sampler

DECODINGS = ("sbd", "ar")
RUNNING, EOS, LENGTH, STOP_STRING, IDLE = range(5)
REASONS = ("running", "eos", "length", "stop_string", "idle")

NO_TASK, FUSED, BLOCK, VERIFY, AR = range(5)
"""What a row does in the next forward; its index in KINDS, most demanding first ("prefill" is nobody's task)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to decode.

    Args:
        decoding: one of DECODINGS.
        sampler, gamma: a name of SAMPLERS and its parameter (nats for the EB rules).
        block_size: k, in tokens; AR has no use for it.
        max_new_tokens: budget of a row. Blocks stay k wide for the model; positions past it are never revealed.
        temperature: 0 takes the argmax; else tokens are drawn, and entropies and confidences are the tempered ones.
        verify: SBD only drafts, and every token is checked with the next-token head (sbd.verified).
        eos_ids: tokens that end a row; may be empty.
        mask_id: the mask token; AR works without one.
        suppressed_ids: tokens that are never emitted.
        pad_id: what fills rows where they have no token.
    """

    decoding: str = "sbd"
    sampler: str = "eb_entropy"
    gamma: float = 0.1
    block_size: int = 16
    max_new_tokens: int = 256
    temperature: float = 0.0
    verify: bool = False
    eos_ids: tuple[int, ...] = ()
    mask_id: int | None = None
    suppressed_ids: tuple[int, ...] = ()
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.decoding not in DECODINGS:
            raise ValueError(f"decoding {self.decoding!r} is unknown; choose one of {', '.join(DECODINGS)}")
        check_sampler(self.sampler, self.gamma)
        if self.block_size < 1:
            raise ValueError(f"block_size is {self.block_size}; it must be at least 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        if not self.temperature >= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.verify and self.decoding != "sbd":
            raise ValueError(f"verify=True checks SBD's drafts; decoding={self.decoding!r} makes none, so leave it out")
        if self.decoding == "sbd" and self.mask_id is None:
            raise ValueError("SBD decoding needs a mask token; train with python -m sbd.training, or use decoding='ar'")

    @property
    def width(self) -> int:
        """Positions that one forward predicts for a row."""
        return self.block_size if self.decoding == "sbd" else 1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a sampler read and chose in one forward.

    Args:
        place_BK: positions in `Rows.token_BN`. masked_BK: which of them it could reveal. reveal_BK: which it did.
        token_BK: the tokens it would reveal. read: entropy and confidence of the B * K distributions.
    """

    place_BK: Tensor
    masked_BK: Tensor
    reveal_BK: Tensor
    token_BK: Tensor
    read: Statistics


class Rows:
    """The state of all rows on the device: revealed tokens, and where each row is. Rows are idle until admitted."""

    watched = False
    """Whether `choice` is kept, for someone who looks on; AR reads no entropies otherwise."""
    choice: Choice | None = None

    def __init__(self, settings: Settings, count: int, device: torch.device) -> None:
        self.settings, self.width = settings, settings.width
        self.empty = settings.pad_id if settings.mask_id is None else settings.mask_id  # what stands in for no token
        self.token_BN = torch.full((count, self.columns(settings)), self.empty, device=device)
        self.revealed_BN = torch.zeros_like(self.token_BN, dtype=torch.bool)
        self.start_B = torch.zeros(count, dtype=torch.long, device=device)  # first position of the row's block
        self.known_B = torch.zeros_like(self.start_B)  # revealed without a gap, cut at the row's end
        self.told_B = torch.zeros_like(self.start_B)  # those of them that a report has shown
        self.reason_B = torch.full_like(self.start_B, IDLE)
        self.pending_B = torch.zeros_like(self.start_B, dtype=torch.bool)  # the block before is not in the cache yet
        self.column_K = torch.arange(self.width, device=device)
        self.eos_E = torch.tensor(settings.eos_ids, dtype=torch.long, device=device)
        self.suppressed_S = torch.tensor(settings.suppressed_ids, dtype=torch.long, device=device)

    @staticmethod
    def columns(settings: Settings) -> int:
        """Return how many positions `token_BN` has: whole blocks."""
        return -(-settings.max_new_tokens // settings.width) * settings.width

    @property
    def new_BN(self) -> Tensor:
        """The new tokens; the first `known_B` of each row are final."""
        return self.token_BN

    @property
    def live_B(self) -> Tensor:
        """Rows that have not ended."""
        return self.reason_B == RUNNING

    def place_BK(self) -> Tensor:
        """Return the positions of each row's block among its new tokens."""
        return self.start_B.unsqueeze(1) + self.column_K

    def clear(self) -> None:
        """Make all rows idle, whatever a run that was broken off has left."""
        self.reason_B.fill_(IDLE)

    def admit(self, row_R: Tensor) -> None:
        """Start rows afresh, whatever they held; the others go on."""
        self.token_BN.index_fill_(0, row_R, self.empty)
        for state in (self.start_B, self.known_B, self.told_B, self.revealed_BN, self.pending_B):
            state.index_fill_(0, row_R, 0)
        self.reason_B.index_fill_(0, row_R, RUNNING)

    def end(self, row_R: Tensor, reason: int) -> None:
        """End rows from outside."""
        self.reason_B.index_fill_(0, row_R, reason)

    def task_B(self) -> Tensor:
        """Return each row's task in the next forward."""
        return torch.where(self.pending_B, FUSED, BLOCK) * self.live_B

    def reach_B(self) -> Tensor:
        """Return how many tokens behind its cached past each row's next forward holds."""
        return self.width * (1 + self.pending_B.long()) * self.live_B

    def report(self, length_B: Tensor) -> Tensor:
        """Return what the host has to know, (B, 4 + K): task, reason, known tokens, slots needed, the new tokens.

        Args:
            length_B: slots of the cache that each row fills.
        """
        place_BK = self.told_B.unsqueeze(1) + self.column_K  # no forward makes more than K tokens known
        new_BK = self.new_BN.gather(1, place_BK.clamp(max=self.new_BN.shape[1] - 1))
        self.told_B.copy_(self.known_B)
        reach_B = self.reach_B()
        need_B = (length_B + reach_B) * (reach_B > 0)
        return torch.cat([torch.stack([self.task_B(), self.reason_B, self.known_B, need_B], dim=1), new_BK], dim=1)

    def reveal(self, logits_BKV: Tensor, taking_B: Tensor, generator: torch.Generator | None) -> None:
        """Read the block's logits, let the sampler choose positions, and write their tokens (Alg. 2).

        Args:
            taking_B: live rows that took part in the forward.
        """
        s, place_BK = self.settings, self.place_BK()
        revealed_BK = self.revealed_BN.gather(1, place_BK)
        masked_BK = ~revealed_BK & taking_B.unsqueeze(1) & (place_BK < s.max_new_tokens)
        predicted_BK, reveal_BK = self._choose(logits_BKV.flatten(0, 1), masked_BK, generator)
        token_BK = torch.where(reveal_BK, predicted_BK, self.token_BN.gather(1, place_BK))
        revealed_BK = revealed_BK | reveal_BK
        self.token_BN.scatter_(1, place_BK, token_BK)
        self.revealed_BN.scatter_(1, place_BK, revealed_BK)
        self._advance(token_BK, revealed_BK, taking_B)

    def _choose(self, logits_NV: Tensor, masked_BK: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return the predicted tokens (B, K) and which masked positions to reveal (B, K)."""
        s = self.settings
        read = self._read(logits_NV)
        drawn = s.temperature > 0 and not s.verify  # a draft is best made of the likeliest tokens
        token_N = self._next_tokens(logits_NV, generator) if drawn else read.argmax_N
        entropy_BK, confidence_BK = read.entropy_N.view_as(masked_BK), read.confidence_N.view_as(masked_BK)
        token_BK = token_N.view_as(masked_BK)
        reveal_BK = SAMPLERS[s.sampler](entropy_BK, confidence_BK, masked_BK, s.gamma)
        if self.watched:
            self.choice = self._chosen(masked_BK, reveal_BK, token_BK, read)
        return token_BK, reveal_BK

    def _read(self, logits_NV: Tensor) -> Statistics:
        """Return entropy, argmax and confidence of N distributions."""
        return statistics(logits_NV, temperature=self.settings.temperature, suppressed_S=self.suppressed_S)

    def _chosen(self, masked_BK: Tensor, reveal_BK: Tensor, token_BK: Tensor, read: Statistics) -> Choice:
        return Choice(place_BK=self.place_BK(), masked_BK=masked_BK, reveal_BK=reveal_BK, token_BK=token_BK, read=read)

    def _next_tokens(self, logits_NV: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return (N,) tokens: the likeliest at temperature 0, else drawn."""
        temperature, suppressed_S = self.settings.temperature, self.suppressed_S
        if temperature > 0:
            return draw(logits_NV, temperature=temperature, suppressed_S=suppressed_S, generator=generator)
        return logits_NV.index_fill(1, suppressed_S, float("-inf")).argmax(dim=-1)

    def _is_eos(self, token_BK: Tensor) -> Tensor:
        return (token_BK.unsqueeze(-1) == self.eos_E).any(dim=-1)

    def _advance(self, token_BK: Tensor, revealed_BK: Tensor, taking_B: Tensor) -> None:
        """End rows whose gapless revealed tokens hold an end or fill the budget; move the others past a full block."""
        gapless_BK = revealed_BK.cumprod(dim=1).bool()
        end_BK = gapless_BK & self._is_eos(token_BK)
        ended_B = end_BK.any(dim=1)
        in_block_B = torch.where(ended_B, end_BK.int().argmax(dim=1) + 1, gapless_BK.sum(dim=1))
        self.known_B.copy_(torch.where(taking_B, self.start_B + in_block_B, self.known_B))
        reason_B = torch.where(self.known_B >= self.settings.max_new_tokens, LENGTH, RUNNING).masked_fill(ended_B, EOS)
        self.reason_B.copy_(torch.where(taking_B, reason_B, self.reason_B))
        full_B = taking_B & self.live_B & (in_block_B == self.width)
        self.pending_B |= full_B
        self.start_B += self.width * full_B


Watch = Callable[[Forward, Rows, Mapping[int, int]], None]
"""Called after every forward with what it cost, the rows as it left them, `choice` included, and the prompt of each
row that took part."""
