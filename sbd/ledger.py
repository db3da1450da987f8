"""Every forward of a decoding: its kind, width, rows and time; NFE and wall clock come from here alone.

Kinds: "prefill" (the prompt), "fused" (2k wide: the previous block's final tokens and the next block), "block" (k wide)
and "ar" (1 wide).
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("prefill", "fused", "block", "ar")


@dataclass(frozen=True, kw_only=True)
class Forward:
    """One forward of the model.

    Args:
        kind: one of KINDS; a forward is "fused" when any of its rows commits a block.
        width: tokens per row.
        rows: rows of the batch that were still decoding.
        seconds: wall time since the previous forward ended, sampling and bookkeeping included.
    """

    kind: str
    width: int
    rows: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All forwards in order, and for each kind and row how many the row took part in, up to its own end.

    A row is charged for what it did itself: in a "fused" forward a row without a block to commit is charged a "block".
    """

    decoding: str
    forwards: tuple[Forward, ...]
    nfe: dict[str, list[int]]

    def nfe_decode(self, row: int) -> int:
        """Return the row's decoding forwards (Eq. 17): for SBD "fused" + "block", no prefill; for AR one per token.

        AR's first token comes from the prefill, which therefore counts as one decoding forward there.
        """
        decoding = sum(self.nfe[kind][row] for kind in ("fused", "block", "ar"))
        return decoding + 1 if self.decoding == "ar" else decoding

    @property
    def seconds_prefill(self) -> float:
        """Wall time of the prefill; for AR this yields the first token."""
        return sum(forward.seconds for forward in self.forwards if forward.kind == "prefill")

    @property
    def seconds_decode(self) -> float:
        """Wall time of all other forwards."""
        return sum(forward.seconds for forward in self.forwards if forward.kind != "prefill")
