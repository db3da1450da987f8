"""Which prompt sits in which row of the batch, and what the host has been told of every answer so far.

Knows reports, token ids and who waits; knows nothing of tensors, models or text: whoever wants stop strings passes a
callable. With `refill` a row that has ended takes the next prompt at once; without, a batch is decoded to its last row
before the next one starts (lock-step).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sbd.ledger import KINDS
from sbd.rows import EOS, NO_TASK, RUNNING, STOP_STRING

FindStop = Callable[[int, list[int]], int | None]
"""(prompt, its revealed tokens so far) -> how many of them to keep, or None to go on."""


@dataclass(kw_only=True)
class Answer:
    """What the host knows of one prompt's answer: tokens, why it ended, and what it cost by kind of forward."""

    tokens: list[int] = field(default_factory=list)
    reason: int = RUNNING
    nfe: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


class Seats:
    """The rows of a batch and the prompts that take turns in them.

    Args:
        prompts: how many; they are seated in this order.
        rows: B.
        refill: whether a prompt may join rows that are in the middle of theirs.
        find_stop: asked after every forward about each answer that took part.
    """

    def __init__(self, prompts: int, rows: int, *, refill: bool, find_stop: FindStop | None) -> None:
        self.answers = [Answer() for _ in range(prompts)]
        self.waiting = deque(range(prompts))
        self.refill, self.find_stop = refill, find_stop
        self.prompt_B: list[int | None] = [None] * rows
        self.task_B, self.need_B = [NO_TASK] * rows, [0] * rows  # of the next forward, as last reported

    @property
    def live(self) -> dict[int, int]:
        """Return the prompt of each row that is being decoded."""
        return {row: prompt for row, prompt in enumerate(self.prompt_B) if prompt is not None}

    def admit(self) -> dict[int, int]:
        """Seat waiting prompts in free rows and return which went where, row -> prompt."""
        if self.live and not self.refill:
            return {}
        free = (row for row, prompt in enumerate(self.prompt_B) if prompt is None)
        admitted = {row: self.waiting.popleft() for row, _ in zip(free, range(len(self.waiting)), strict=False)}
        for row, prompt in admitted.items():
            self.prompt_B[row] = prompt
        return admitted

    def charge(self) -> None:
        """Charge every row for the task that it is about to do."""
        for row, prompt in self.live.items():
            self.answers[prompt].nfe[KINDS[self.task_B[row]]] += 1

    def read(self, report: list[list[int]], rows: Iterable[int]) -> tuple[dict[int, int], list[int]]:
        """Take in what `Rows.report` says of `rows`; return who left, row -> prompt, and rows that only we ended."""
        left, stopped = {}, []
        for row in rows:
            prompt = self.prompt_B[row]
            assert prompt is not None, "only seated rows take part in a forward"
            task, reason, known, need, *recent = report[row]
            answer = self.answers[prompt]
            answer.tokens += recent[: known - len(answer.tokens)]
            keep = None if self.find_stop is None else self.find_stop(prompt, answer.tokens)
            if keep is not None and not (reason == EOS and keep == known):
                stopped += [row] if reason == RUNNING else []
                answer.tokens, reason = answer.tokens[:keep], STOP_STRING
            answer.reason = reason
            self.task_B[row], self.need_B[row] = task, need
            if reason != RUNNING:
                left[row] = prompt
                self.prompt_B[row], self.task_B[row], self.need_B[row] = None, NO_TASK, 0
        return left, stopped
