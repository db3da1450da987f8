"""Every forward of a decoding: its kind, width, rows and time; NFE and wall clock come from here alone.

Kinds: "prefill" (prompts: the first ones, or those that take a finished row's place), "fused" (2k wide: the previous
block's final tokens and the next block), "block" (k wide), "verify" (k wide: the tokens of a last block, in verified
decoding only) and "ar" (1 wide).

Shapes: B rows, K positions of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

KINDS = ("prefill", "fused", "block", "verify", "ar")


@dataclass(frozen=True, kw_only=True)
class Forward:
    """One forward of the model.

    Args:
        kind: one of KINDS; that of its most demanding row: "fused" before "block" before "verify".
        width: tokens per row.
        rows: rows of the batch that took part: for "prefill" those whose prompt it read, else those still decoding.
        seconds: wall time since the previous forward ended, sampling and bookkeeping included.
    """

    kind: str
    width: int
    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a verified decoding's drafts fared.

    Args:
        checked: (B, K) drafted tokens that were compared with the next-token head's, by position in the block. Position
            0 is never compared, since the head chose it; nor is what comes after a disagreement.
        accepted: (B, K) those of them that agreed.
        rejections: (B,) verifications that found a disagreement.
        stale: (B,) "fused" forwards among them, whose second half, the next draft, was wasted.
    """

    checked: Tensor
    accepted: Tensor
    rejections: Tensor
    stale: Tensor

    @property
    def acceptance(self) -> Tensor:
        """Share of the compared tokens that agreed, by position (K,), over all rows; nan where none was compared."""
        return self.accepted.sum(dim=0) / self.checked.sum(dim=0)


@dataclass(frozen=True, kw_only=True)
class GraphReport:
    """How CUDA graphs served the decoding forwards of one call.

    Args:
        hits: forwards that replayed a graph. misses: those that did not, since theirs was not captured yet.
        captured: (rows, width, slots of the cache shown) of each graph at hand, in the order of capture.
        refused: why none can be captured of this model, or None.
    """

    hits: int
    misses: int
    captured: tuple[tuple[int, int, int], ...]
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All forwards in order, and for each kind and prompt how many its row took part in, up to its own end.

    A row is charged for what it did itself: in a "fused" forward a row without a block to commit is charged a "block",
    and one whose last tokens are verified a "verify". `verification` is there for verified decoding alone, `graphs`
    where CUDA graphs were used. `batch_rows` is the number of rows of the batch, which prompts may have shared in turn.
    """

    decoding: str
    forwards: tuple[Forward, ...]
    nfe: dict[str, list[int]]
    batch_rows: int
    verification: Verification | None = None
    graphs: GraphReport | None = None

    def nfe_decode(self, row: int) -> int:
        """Return the row's decoding forwards (Eq. 17): for SBD all but the prefill; for AR one per token.

        AR's first token comes from the prefill, which therefore counts as one decoding forward there.
        """
        decoding = sum(self.nfe[kind][row] for kind in KINDS if kind != "prefill")
        return decoding + 1 if self.decoding == "ar" else decoding

    @property
    def seconds_prefill(self) -> float:
        """Wall time of the prefill; for AR this yields the first token."""
        return sum(forward.seconds for forward in self.forwards if forward.kind == "prefill")

    @property
    def seconds_decode(self) -> float:
        """Wall time of all other forwards."""
        return sum(forward.seconds for forward in self.forwards if forward.kind != "prefill")
