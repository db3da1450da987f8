"""The rows of a batch while they are decoded: their settings, revealed tokens, ends and costs, all on the device.

Knows token ids, logits and a sampler (Alg. 2); knows nothing of models, caches or clocks, nor of text: whoever wants
stop strings passes a callable.

Shapes: B rows, K positions of a block (1 for AR), N new positions of a row or rows of logits, V vocabulary,
S suppressed ids, E end ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sbd.kernels import Statistics, draw, statistics
from sbd.ledger import KINDS, Forward
from sbd.samplers import SAMPLERS, check_sampler

DECODINGS = ("sbd", "ar")
RUNNING, EOS, LENGTH, STOP_STRING = range(4)
REASONS = ("running", "eos", "length", "stop_string")

FindStop = Callable[[int, list[int]], int | None]
"""(row, its revealed tokens so far) -> how many of them to keep, or None to go on."""


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
    """The state of all rows on the device: revealed tokens, where each row is, and what it has cost."""

    watched = False
    """Whether `choice` is kept, for someone who looks on; AR reads no entropies otherwise."""
    choice: Choice | None = None

    def __init__(self, settings: Settings, count: int, device: torch.device) -> None:
        self.settings, self.width = settings, settings.width
        self.empty = settings.pad_id if settings.mask_id is None else settings.mask_id  # what stands in for no token
        self.token_BN = torch.full((count, self._columns()), self.empty, device=device)
        self.revealed_BN = torch.zeros_like(self.token_BN, dtype=torch.bool)
        self.start_B = torch.zeros(count, dtype=torch.long, device=device)  # first position of the row's block
        self.known_B = torch.zeros_like(self.start_B)  # revealed without a gap, cut at the row's end
        self.reason_B = torch.full_like(self.start_B, RUNNING)
        self.pending_B = torch.zeros_like(self.start_B, dtype=torch.bool)  # the block before is not in the cache yet
        self.nfe = {kind: torch.zeros_like(self.start_B) for kind in KINDS}
        self.column_K = torch.arange(self.width, device=device)
        self.eos_E = torch.tensor(settings.eos_ids, dtype=torch.long, device=device)
        self.suppressed_S = torch.tensor(settings.suppressed_ids, dtype=torch.long, device=device)

    def _columns(self) -> int:
        """Return how many positions `token_BN` has: whole blocks."""
        return -(-self.settings.max_new_tokens // self.width) * self.width

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

    def reveal(self, logits_BKV: Tensor, generator: torch.Generator | None) -> None:
        """Read the block's logits, let the sampler choose positions, and write their tokens (Alg. 2)."""
        s, place_BK = self.settings, self.place_BK()
        revealed_BK = self.revealed_BN.gather(1, place_BK)
        masked_BK = ~revealed_BK & self.live_B.unsqueeze(1) & (place_BK < s.max_new_tokens)
        predicted_BK, reveal_BK = self._choose(logits_BKV.flatten(0, 1), masked_BK, generator)
        token_BK = torch.where(reveal_BK, predicted_BK, self.token_BN.gather(1, place_BK))
        revealed_BK = revealed_BK | reveal_BK
        self.token_BN.scatter_(1, place_BK, token_BK)
        self.revealed_BN.scatter_(1, place_BK, revealed_BK)
        self._advance(token_BK, revealed_BK)

    def _choose(self, logits_NV: Tensor, masked_BK: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return the predicted tokens (B, K) and which masked positions to reveal (B, K)."""
        s = self.settings
        if s.decoding == "ar" and not self.watched:
            return self._next_tokens(logits_NV, generator).view_as(masked_BK), masked_BK
        read = statistics(logits_NV, temperature=s.temperature, suppressed_S=self.suppressed_S)
        if s.decoding == "ar":
            token_BK = self._next_tokens(logits_NV, generator).view_as(masked_BK)
            self.choice = self._chosen(masked_BK, masked_BK, token_BK, read)
            return token_BK, masked_BK
        drawn = s.temperature > 0 and not s.verify  # a draft is best made of the likeliest tokens
        token_N = self._next_tokens(logits_NV, generator) if drawn else read.argmax_N
        entropy_BK, confidence_BK = read.entropy_N.view_as(masked_BK), read.confidence_N.view_as(masked_BK)
        token_BK = token_N.view_as(masked_BK)
        reveal_BK = SAMPLERS[s.sampler](entropy_BK, confidence_BK, masked_BK, s.gamma)
        if self.watched:
            self.choice = self._chosen(masked_BK, reveal_BK, token_BK, read)
        return token_BK, reveal_BK

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

    def _advance(self, token_BK: Tensor, revealed_BK: Tensor) -> None:
        """End rows whose gapless revealed tokens hold an end or fill the budget; move the others past a full block."""
        live_B = self.live_B
        gapless_BK = revealed_BK.cumprod(dim=1).bool()
        end_BK = gapless_BK & self._is_eos(token_BK)
        ended_B = end_BK.any(dim=1)
        in_block_B = torch.where(ended_B, end_BK.int().argmax(dim=1) + 1, gapless_BK.sum(dim=1))
        self.known_B = torch.where(live_B, self.start_B + in_block_B, self.known_B)
        reason_B = torch.where(ended_B, EOS, torch.where(self.known_B >= self.settings.max_new_tokens, LENGTH, RUNNING))
        self.reason_B = torch.where(live_B, reason_B, self.reason_B)
        full_B = self.live_B & (in_block_B == self.width)
        self.pending_B = self.pending_B | full_B
        self.start_B = self.start_B + self.width * full_B

    def cut(self, find_stop: FindStop, was_live: list[bool]) -> None:
        """Ask `find_stop` about every row of the last forward, and end the rows where it finds something."""
        known, reason, tokens = self.known_B.tolist(), self.reason_B.tolist(), self.new_BN.tolist()
        for row in (row for row, live in enumerate(was_live) if live):
            keep = find_stop(row, tokens[row][: known[row]])
            if keep is not None and not (reason[row] == EOS and keep == known[row]):
                known[row], reason[row] = keep, STOP_STRING
        self.known_B, self.reason_B = torch.tensor([known, reason], device=self.known_B.device)


Watch = Callable[[Forward, Rows], None]
"""Called after every forward with what it cost and the rows as it left them, `choice` included."""
