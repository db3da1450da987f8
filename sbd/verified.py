"""Verified decoding: set block decoding drafts, and the next-token head of the same forwards checks every token.

The forward that commits drafted tokens feeds them causally, so their next-token logits are there for nothing. The
longest prefix on which draft and head agree is kept, and the head's own next token follows it, wherever that is:

    d0 d1 d2 d3 | m  m  m  m      fused; the head says: after d0 d1, after d1 x (not d2)
    keep d0 d1    wasted
    x | m  m  m  m                fused; the head says y after x, and the next draft is made behind y

Every forward is such a check, so it yields one token at the least, as in AR. What is drafted without a gap is checked
at once; a draft need not be whole first.

Knows drafts, logits and the cache's commit; knows nothing of text.

Shapes: B rows, R rows of a new prompt, K positions of a block, N positions (the prompt's last token, then the new
ones), V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sbd.engine import Engine, Step
from sbd.ledger import Verification
from sbd.rows import EOS, FUSED, LENGTH, RUNNING, VERIFY, Rows, Settings

REUSE = 3
"""Drafted tokens behind a wrong one that the head must agree with in a row for them to be checked again as they are."""


class VerifiedRows(Rows):
    """Rows whose blocks start anywhere, with a token that is known to be right; column 0 is the prompt's last token.

    Each row has a segment of `length_B` tokens from `start_B` to feed causally; `drafted_B` of its tokens are there,
    one more than are fed where the draft ends with an end token. `last_B`: nothing can follow the segment, since its
    draft reaches an end token or the budget.
    """

    def __init__(self, settings: Settings, count: int, device: torch.device) -> None:
        super().__init__(settings, count, device)
        self.length_B, self.drafted_B, self.reused_B = torch.zeros(3, count, dtype=torch.long, device=device)
        self.last_B = torch.zeros_like(self.live_B)
        # What `Verification` wants: compared and agreed by position, then rejections and stale forwards.
        self.tally_BT = torch.zeros(count, 2 * self.width + 2, dtype=torch.long, device=device)
        self.checked_BK, self.accepted_BK = self.tally_BT[:, : self.width], self.tally_BT[:, self.width : -2]
        self.rejections_B, self.stale_B = self.tally_BT[:, -2], self.tally_BT[:, -1]

    @staticmethod
    def columns(settings: Settings) -> int:
        """Return how many positions `token_BN` has: the prompt's last, the budget, and a draft beyond it."""
        return 1 + settings.max_new_tokens + settings.width

    def admit(self, row_R: Tensor) -> None:
        """Start rows afresh; each has its prompt's last token to feed, which `lead` puts there."""
        super().admit(row_R)
        self.tally_BT.index_fill_(0, row_R, 0)
        self.revealed_BN[:, 0].index_fill_(0, row_R, True)
        self.length_B.index_fill_(0, row_R, 1)
        self.drafted_B.index_fill_(0, row_R, 1)
        self.reused_B.index_fill_(0, row_R, 0)  # tokens behind a rejected one that are drafted again
        self.last_B.index_fill_(0, row_R, self.settings.max_new_tokens == 1)

    def lead(self, row_R: Tensor, end_R: Tensor) -> None:
        """Put the last tokens of the prompts in front."""
        self.token_BN[:, 0].index_copy_(0, row_R, end_R)

    def task_B(self) -> Tensor:
        """Return each row's task in the next forward."""
        return torch.where(self.last_B, VERIFY, FUSED) * self.live_B

    def reach_B(self) -> Tensor:
        """Return how many tokens behind its cached past each row's next forward may hold."""
        return (self.length_B + self.width) * self.live_B

    @property
    def new_BN(self) -> Tensor:
        """The new tokens; the first `known_B` of each row are verified."""
        return self.token_BN[:, 1:]

    def fed_BK(self) -> Tensor:
        """Return the segments' tokens, right-aligned; what stands before them is padding."""
        place_BK = self.place_BK() + (self.length_B - self.width).unsqueeze(1)
        return self.token_BN.gather(1, place_BK.clamp(min=0))

    def verify(self, logits_BKV: Tensor, check_B: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Keep what the next-token head agrees with and its next token; return the kept count and who lost nothing.

        At temperature > 0 the head's token x is drawn from p and the drafted d is kept where x = d. That is the rule
        "accept d with probability p(d), else draw from p without d": both give d with p(d), and any other x with p(x).
        So whatever the draft is, the output is a sample of the head.

        Tokens behind a wrong one on which draft and head agree all the same, REUSE of them or more, become the next
        segment, behind the right token.

        Args:
            logits_BKV: of the segments, right-aligned as `fed_BK`.
            check_B: rows whose segment was fed: those that live.
        """
        head_BK = self._next_tokens(logits_BKV.flatten(0, 1), generator).view(-1, self.width)
        left_BK = (self.column_K + (self.width - self.length_B).unsqueeze(1)).clamp(max=self.width - 1)
        head_BK = head_BK.gather(1, left_BK)  # the head's token for position start + 1 + column
        draft_BK = self.token_BN.gather(1, self.place_BK() + 1)
        asked_BK = (self.column_K + 1 < self.drafted_B.unsqueeze(1)) & check_B.unsqueeze(1)
        same_BK = (head_BK == draft_BK) & asked_BK
        agreed_BK = same_BK.cumprod(dim=1).bool()
        agreed_B = agreed_BK.sum(dim=1)
        behind_BK = self.column_K > agreed_B.unsqueeze(1)
        run_B = ((same_BK | ~behind_BK).cumprod(dim=1) * behind_BK).sum(dim=1)
        self.reused_B.copy_(run_B * (check_B & ~self.last_B & (run_B >= REUSE)))
        kept_B = torch.minimum(agreed_B + 1, self.length_B.clamp(min=1))
        whole_B = agreed_B + 1 == self.drafted_B
        self._count(asked_BK, agreed_BK, check_B & ~whole_B)
        self._restart(check_B, check_B & ~whole_B, kept_B, head_BK.gather(1, (kept_B - 1).unsqueeze(1)))
        return kept_B * check_B, whole_B

    def _count(self, asked_BK: Tensor, agreed_BK: Tensor, rejected_B: Tensor) -> None:
        """Enter one verification into the statistics."""
        reached_BK = asked_BK & torch.nn.functional.pad(agreed_BK[:, :-1], (1, 0), value=True)
        self.checked_BK[:, 1:] += reached_BK[:, :-1]
        self.accepted_BK[:, 1:] += agreed_BK[:, :-1]
        self.rejections_B += rejected_B
        self.stale_B += rejected_B & ~self.last_B

    def _restart(self, check_B: Tensor, rejected_B: Tensor, kept_B: Tensor, head_B1: Tensor) -> None:
        """Start the checked rows' next segment at the head's token, and end those that this token ends."""
        self.start_B += kept_B * check_B
        place_BK, check_B1 = self.place_BK(), check_B.unsqueeze(1)
        token_BK, revealed_BK = self.token_BN.gather(1, place_BK), self.revealed_BN.gather(1, place_BK)
        rejected_B1, reused_B1 = rejected_B.unsqueeze(1), self.reused_B.unsqueeze(1)
        known_BK = (self.column_K == 0) | torch.where(rejected_B1, self.column_K <= reused_B1, revealed_BK)
        fresh_BK = torch.where(self.column_K == 0, head_B1, token_BK.masked_fill(~known_BK, self.empty))
        self.token_BN.scatter_(1, place_BK, torch.where(check_B1, fresh_BK, token_BK))
        self.revealed_BN.scatter_(1, place_BK, torch.where(check_B1, known_BK, revealed_BK))
        self.known_B.copy_(torch.where(check_B, self.start_B, self.known_B))
        reason_B = torch.where(self.start_B >= self.settings.max_new_tokens, LENGTH, RUNNING)
        reason_B = reason_B.masked_fill(self._is_eos(head_B1).squeeze(1), EOS)
        self.reason_B.copy_(torch.where(check_B, reason_B, self.reason_B))

    def draft(self, logits_BKV: Tensor, draft_B: Tensor) -> None:
        """Let the sampler choose positions for the rows of `draft_B`, and write their likeliest tokens (Alg. 2)."""
        place_BK = self.place_BK()
        token_BK, revealed_BK = self.token_BN.gather(1, place_BK), self.revealed_BN.gather(1, place_BK)
        inside_BK = place_BK < self.settings.max_new_tokens  # the head itself gives the last token of the budget
        masked_BK = ~revealed_BK & inside_BK & draft_B.unsqueeze(1) & self.live_B.unsqueeze(1)
        predicted_BK, reveal_BK = self._choose(logits_BKV.flatten(0, 1), masked_BK, None)
        token_BK, revealed_BK = torch.where(reveal_BK, predicted_BK, token_BK), revealed_BK | reveal_BK
        self.token_BN.scatter_(1, place_BK, token_BK)
        self.revealed_BN.scatter_(1, place_BK, revealed_BK)
        self._close(token_BK, revealed_BK, inside_BK)

    def _close(self, token_BK: Tensor, revealed_BK: Tensor, inside_BK: Tensor) -> None:
        """Make what the draft holds without a gap the next segment, up to an end token where there is one."""
        gapless_BK = (revealed_BK & inside_BK).cumprod(dim=1).bool()
        end_BK = gapless_BK & self._is_eos(token_BK)
        ended_B, end_B = end_BK.any(dim=1), end_BK.int().argmax(dim=1)
        size_B = gapless_BK.sum(dim=1)
        self.length_B.copy_(torch.where(ended_B, end_B, size_B))
        self.drafted_B.copy_(torch.where(ended_B, end_B + 1, size_B))
        self.last_B.copy_(ended_B | (self.start_B + self.length_B >= self.settings.max_new_tokens))


class VerifiedEngine(Engine):
    """The engine of verified decoding: prefills all but a prompt's last token, which is the first segment to feed."""

    ROWS = VerifiedRows
    rows: VerifiedRows

    def _seat(self, row_R: Tensor, prompts: list[Tensor]) -> list[Tensor]:
        """Admit prompts and return what of them is to be prefilled; one token leaves nothing."""
        self.rows.admit(row_R)
        self.rows.lead(row_R, torch.stack([prompt[-1] for prompt in prompts]).to(row_R.device))
        return [prompt[:-1] for prompt in prompts]

    def _decode(self, step: Step) -> None:
        """Feed every row's segment causally, draft behind it where something can follow, and verify it."""
        rows, k, wide = self.rows, self.width, step.kind == "fused"
        live_B, follow_B = rows.live_B, rows.live_B & ~rows.last_B
        ids, fed_B = rows.fed_BK(), rows.length_B * live_B
        if wide:
            behind_BK = rows.token_BN.gather(1, rows.place_BK() + fed_B.unsqueeze(1))
            ids = torch.cat([ids, behind_BK], dim=1)
        real_B, block = fed_B + wide * k * live_B, wide * k
        logits = self._forward(ids, step, block=block, keep=ids.shape[1], real_B=real_B)
        kept_B, whole_B = rows.verify(logits[:, :k], live_B, self.generator)
        self.cache.commit(kept_B)
        rows.draft(logits[:, -k:], follow_B & whole_B)

    def _leave(self, row: int, prompt: int) -> None:
        """Keep what the row's verifications came to."""
        self.kept[prompt] = self.rows.tally_BT[row].clone()

    def verification(self) -> Verification:
        """Return how the drafts of each prompt fared."""
        tally_PT = torch.stack([self.kept[prompt] for prompt in sorted(self.kept)])
        k = self.width
        return Verification(
            checked=tally_PT[:, :k], accepted=tally_PT[:, k:-2], rejections=tally_PT[:, -2], stale=tally_PT[:, -1]
        )
