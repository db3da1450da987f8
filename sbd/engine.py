"""Algs. 2 and 3: the engine that all decoders share, whose rows advance, stop and are charged each alone.

Knows the model's forward, its cache, the rows, who sits in them and the clock; knows nothing of how rows choose their
tokens. Each decoding forward is one step on storage that never moves, followed by one report to the host.
sbd.autoregressive and sbd.verified change what a step does, and nothing else.

Alg. 3, k = 4: a row with a finished block b commits it (causal) in the forward that starts its next block; a row still
inside its block has padding there. Without any row to commit, the forward is k wide.

    row 0   b0 b1 b2 b3 | m  m  m  m      fused: b enters the cache, the next block starts
    row 1   .  .  .  .  | c0 m  c2 m      block: the row goes on revealing c

Shapes: B rows, R rows of new prompts, K positions of a block, L prompt length, S numbers of a report.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from sbd.attention import without_copies
from sbd.graphs import Capture, Graphs
from sbd.ledger import KINDS, Forward, GraphReport, Verification
from sbd.model import forward, new_cache
from sbd.rows import STOP_STRING, Rows, Settings, Watch
from sbd.seats import FindStop, Seats

PREFILL_CHUNK = 2048
"""Prompt tokens of one prefill forward, so that its mask stays small beside the cache."""


@dataclass(frozen=True)
class Step:
    """What all rows together do in one decoding forward; the same step again is the same work on the same storage.

    Args:
        kind: of the forward, one of KINDS. span: slots of the cache that attention is shown.
        whole: all tokens see all of the span, so that attention needs no mask.
    """

    kind: str
    span: int
    whole: bool = False


class Engine:
    """A batch of rows with their cache, ready to decode any number of prompts of one model.

    Args:
        count: B. longest: tokens of the longest prompt that will come.
        capture: records steps as CUDA graphs; None runs them as they are.
    """

    ROWS = Rows

    watch: Watch | None = None
    """Who looks on: called after every forward."""

    def __init__(
        self, model: PreTrainedModel, settings: Settings, *, count: int, longest: int, capture: Capture | None = None
    ) -> None:
        self.settings, self.width, self.count, self.longest = settings, settings.width, count, longest
        self.rows = self.ROWS(settings, count, model.device)
        self.cache = new_cache(model, count, longest + self.rows.columns(settings) + self.width)
        self.report_BS = self.rows.report(self.cache.length_B)
        self.graphs = Graphs(capture)

    def run(
        self, model: PreTrainedModel, prompts: list[Tensor], *, generator: torch.Generator | None = None,
        find_stop: FindStop | None = None, refill: bool = True,
    ) -> None:  # fmt: skip
        """Decode all prompts to their end, `count` at a time; seats, forwards and graphs tell what came of it."""
        self.model, self.prompts, self.generator = model, prompts, generator
        self.seats = Seats(len(prompts), self.count, refill=refill, find_stop=find_stop)
        self.forwards: list[Forward] = []
        self.kept: dict[int, Tensor] = {}  # what `_leave` keeps of each prompt
        self.graphs.begin()
        self.rows.clear()
        self.clock = time.perf_counter()
        try:
            with without_copies(model.config):  # here for all forwards, since a configuration is slow to change
                while self.seats.waiting or self.seats.live:
                    if admitted := self.seats.admit():
                        self._prefill(admitted)
                    if self.seats.live:
                        self._step()
        finally:
            del self.model  # whoever keeps the engine keeps no model alive

    def verification(self) -> Verification | None:
        """Return how drafts fared, where they are verified."""
        return None

    def graph_report(self) -> GraphReport | None:
        """Return how CUDA graphs served the last run, where there are any."""
        graphs = self.graphs
        if graphs.capture is None:
            return None
        captured = tuple((self.count, self._columns(step.kind), step.span) for step in graphs.replays)
        return GraphReport(hits=graphs.hits, misses=graphs.misses, captured=captured, refused=graphs.refused)

    def _columns(self, kind: str) -> int:
        """Return the width of a decoding forward."""
        return 2 * self.width if kind == "fused" else self.width

    def _prefill(self, admitted: dict[int, int]) -> None:
        """Seat prompts and fill the cache with them (causal)."""
        device = self.cache.length_B.device
        row_R = torch.tensor(list(admitted), device=device)
        self.cache.clear(row_R)
        self.rows.choice = None
        prompts = self._seat(row_R, [self.prompts[prompt] for prompt in admitted.values()])
        lengths = [len(prompt) for prompt in prompts]
        length, length_R = max(lengths), torch.tensor(lengths, device=device)
        flipped = [prompt.flip(0) for prompt in prompts]
        padded = pad_sequence(flipped, batch_first=True, padding_value=self.settings.pad_id)
        prompt_RL = padded.flip(1).to(device)  # right-aligned
        some_R = None if len(admitted) == self.count else row_R
        for end in range((length - 1) % PREFILL_CHUNK + 1, length + 1, PREFILL_CHUNK):
            ids = prompt_RL[:, max(0, end - PREFILL_CHUNK) : end]
            real_R = (length_R - (length - end)).clamp(min=0, max=ids.shape[1])
            logits = forward(self.model, self.cache, ids, block=0, keep=1, real_B=real_R, span=end, row_R=some_R)
            self.cache.commit(real_R)
            if end == length:
                self._prefilled(logits, row_R)
            reading = {row: admitted[row] for row, own in zip(admitted, lengths, strict=True) if own > length - end}
            for prompt in reading.values():
                self.seats.answers[prompt].nfe["prefill"] += 1
            self._report()
            self._finish("prefill", ids.shape[1], reading, told=admitted)
        if length == 0:
            self._report()
            self._read(admitted)

    def _seat(self, row_R: Tensor, prompts: list[Tensor]) -> list[Tensor]:
        """Admit prompts and return what of them is to be prefilled."""
        self.rows.admit(row_R)
        return prompts

    def _prefilled(self, logits_R1V: Tensor, row_R: Tensor) -> None:
        """Prompts are in the cache; these are their last logits, of which set block decoding makes no use."""

    def _step(self) -> None:
        """Do one decoding forward with all rows, and read what came of it."""
        seats = self.seats
        live = seats.live
        tasks = [seats.task_B[row] for row in live]
        kind = KINDS[min(tasks)]
        span = self.graphs.span(max(seats.need_B), self.cache.capacity)
        open_ended = kind in ("ar", "block") and self.graphs.capture is None  # no causal tokens, no slots to spare
        step = Step(kind, span, whole=open_ended and all(seats.need_B[row] == span for row in live))
        seats.charge()
        self.graphs.run(step, partial(self._work, step))
        self._finish(kind, self._columns(kind), live, told=live)

    def _work(self, step: Step) -> None:
        """All that the device does in a step."""
        self._decode(step)
        self._report()

    def _decode(self, step: Step) -> None:
        """One forward of Alg. 3: commit finished blocks where there are any, and predict every row's block."""
        rows, k = self.rows, self.width
        place_BK = rows.place_BK()
        live_B = rows.live_B
        commit_B = rows.pending_B & live_B
        ids = rows.token_BN.gather(1, place_BK)
        if step.kind == "fused":
            ids = torch.cat([rows.token_BN.gather(1, (place_BK - k).clamp(min=0)), ids], dim=1)
        real_B = k * (live_B.long() + commit_B)
        logits = self._forward(ids, step, block=k, keep=k, real_B=real_B)
        self.cache.commit(k * commit_B)
        rows.pending_B &= ~commit_B
        rows.reveal(logits, live_B, self.generator)

    def _forward(self, ids_BQ: Tensor, step: Step, *, block: int, keep: int, real_B: Tensor) -> Tensor:
        """Run the model on a step's tokens."""
        return forward(
            self.model, self.cache, ids_BQ, block=block, keep=keep, real_B=real_B, span=step.span, whole=step.whole
        )

    def _report(self) -> None:
        """Write down for the host what it must know."""
        self.report_BS.copy_(self.rows.report(self.cache.length_B))

    def _finish(self, kind: str, width: int, took: Mapping[int, int], told: Iterable[int]) -> None:
        """Read what a forward's report says of the rows `told`, and enter it into the ledger.

        Args:
            took: row -> prompt of those that took part.
        """
        self._read(told)
        now = time.perf_counter()
        self.forwards.append(Forward(kind=kind, width=width, rows=len(took), seconds=now - self.clock))
        self.clock = now
        if self.watch is not None:
            self.watch(self.forwards[-1], self.rows, took)
            self.clock = time.perf_counter()  # looking on is not the model's time

    def _read(self, rows: Iterable[int]) -> None:
        """Ask the device, the one time per forward, what came of it; this waits for the forward, as the clock must."""
        left, stopped = self.seats.read(self.report_BS.tolist(), rows)
        if stopped:
            self.rows.end(torch.tensor(stopped, device=self.report_BS.device), STOP_STRING)
        for row, prompt in left.items():
            self._leave(row, prompt)

    def _leave(self, row: int, prompt: int) -> None:
        """A row's prompt is done; its row goes to another."""
