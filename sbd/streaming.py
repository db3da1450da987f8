"""Shows a decoding while it runs: drafts and final tokens to a streamer, and a streamer for the terminal.

A streamer has `put` (final token ids, the prompt's first), `end`, and perhaps `put_draft` (the ids behind the final
ones, masks among them), as transformers' TextStreamer and TextDiffusionStreamer have. Knows the rows after each forward
and a tokenizer; knows nothing of models.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from sbd.ledger import Forward
from sbd.rows import Rows

COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)
"""ANSI colours, one for each forward in turn."""
MASK = "\u00b7"
CONTEXT = 8
"""Tokens before a piece of text that decide how it begins."""


class Streamer(Protocol):
    """What `generate` needs of a streamer; it also calls `put_draft` where there is one."""

    def put(self, value: Tensor) -> Any:
        """Take final token ids."""

    def end(self) -> Any:
        """Take note that there are no more."""


class Relay:
    """Passes one row's decoding on to a streamer: the block after each forward, and its tokens once they are final."""

    def __init__(self, streamer: Streamer) -> None:
        self.streamer, self.sent, self.live = streamer, 0, True
        self.put_draft = getattr(streamer, "put_draft", None)

    def __call__(self, forward: Forward, rows: Rows, prompts: Mapping[int, int]) -> None:
        """Take in one forward."""
        choice = rows.choice
        if choice is None or not self.live:
            return
        self.live = bool(rows.live_B[0])
        known, tokens = int(rows.known_B[0]), rows.new_BN[0].cpu()
        final = known if not self.live or int(rows.start_B[0]) == known else self.sent
        shift = rows.token_BN.shape[1] - len(tokens)
        end = min(int(choice.place_BK[0, -1]) + 1 - shift, rows.settings.max_new_tokens)
        if self.put_draft is not None and rows.width > 1 and end > self.sent:
            self.put_draft(tokens[None, self.sent : end])
        if final > self.sent:
            self.streamer.put(tokens[self.sent : final])
            self.sent = final
            if self.put_draft is not None and rows.width > 1 and self.live and end > final:
                self.put_draft(tokens[None, final:end])


def relay_to(streamer: Streamer, input_ids: Tensor | Sequence[Tensor]) -> Relay:
    """Return the relay to a streamer, which is handed the prompt first.

    Raises:
        ValueError: for a batch.
    """
    if len(input_ids) != 1:
        raise ValueError(f"a streamer shows one row, but input_ids has {len(input_ids)}; generate them one by one")
    streamer.put(torch.atleast_2d(input_ids[0]).cpu())
    return Relay(streamer)


def pieces(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], before: Sequence[int] = (), *, skip_special: bool = True
) -> list[str]:
    """Return the text that each token adds; a character spread over several tokens goes to the last of them."""
    known = list(before)[-CONTEXT:]
    text, result = str(tokenizer.decode(known, skip_special_tokens=skip_special)), []
    for index, token in enumerate(ids):
        known.append(token)
        longer = str(tokenizer.decode(known, skip_special_tokens=skip_special))
        whole = not longer.endswith("\ufffd") or index == len(ids) - 1
        result.append(longer[len(text) :] if whole else "")
        text = longer if whole else text
    return result


class TerminalStreamer:
    """Prints the text as it becomes final; on a terminal also the block filling in, a colour for each forward.

    Args:
        tokenizer: of the model. mask_token_id: the model's mask, or None for AR.
        stream: where to; stdout by default. live: whether to draw drafts and colours; by default on a terminal whose
            user has not set NO_COLOR.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, mask_token_id: int | None, stream: TextIO | None = None,
        live: bool | None = None,
    ) -> None:  # fmt: skip
        self.tokenizer, self.mask = tokenizer, mask_token_id
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty() and "NO_COLOR" not in os.environ if live is None else live
        self.prompted, self.forward = False, 0
        self.final: list[int] = []
        self.shown = 0  # how many of them have been printed; a character's last token brings out the others
        self.seen: dict[int, tuple[int, int]] = {}  # position -> (token, the forward that revealed it)
        self.line: list[tuple[str, int]] = []  # (text, forward) of what is final on the terminal's last line
        self.above = 0  # rows of the terminal between the start of that line and the cursor

    def put(self, value: Tensor) -> None:
        """Print final tokens; the first call brings the prompt, which is not repeated."""
        if not self.prompted:
            self.prompted = True
            return
        ids, start = value.flatten().tolist(), len(self.final)
        if any(start + index not in self.seen for index in range(len(ids))):
            self.forward += 1  # AR: no draft came before
        self.final += ids
        texts = self._unshown()
        if texts[-1].endswith("\ufffd"):  # inside a character
            texts = texts[: max((index + 1 for index, text in enumerate(texts[:-1]) if text), default=0)]
        self._show(texts)

    def put_draft(self, value: Tensor) -> None:
        """Show the tokens behind the final ones as they stand after one more forward."""
        self.forward += 1
        ids, start = value.flatten().tolist(), len(self.final)
        self.seen = {place: seen for place, seen in self.seen.items() if place < start + len(ids)}
        for place, token in enumerate(ids, start):
            if token == self.mask:
                self.seen.pop(place, None)
            elif self.seen.get(place, (self.mask, 0))[0] != token:
                self.seen[place] = (token, self.forward)
        if self.live:
            self._draw(self._draft(ids, start))

    def end(self) -> None:
        """Print what is left, and end the last line."""
        if self.shown < len(self.final):
            self._show(self._unshown())
        print(file=self.stream, flush=True)

    def _unshown(self) -> list[str]:
        return pieces(self.tokenizer, self.final[self.shown :], self.final[: self.shown])

    def _show(self, texts: list[str]) -> None:
        """Print the texts of the next tokens."""
        places = range(self.shown, self.shown + len(texts))
        self.shown += len(texts)
        if not self.live:
            print("".join(texts), end="", file=self.stream, flush=True)
            return
        self.line += [
            (_visible(text), self.seen.get(place, (0, self.forward))[1])
            for place, text in zip(places, texts, strict=True)
        ]
        self._draw([])

    def _draft(self, ids: list[int], start: int) -> list[tuple[str, int]]:
        """Return (text, forward) of each token, where masks have forward 0."""
        drawn: list[tuple[str, int]] = []
        run: list[int] = []
        before: Sequence[int] = self.final
        for place, token in enumerate([*ids, None], start):
            if token is not None and token != self.mask:
                run.append(token)
                continue
            texts = map(_visible, pieces(self.tokenizer, run, before))
            drawn += [(text, self.seen[place - len(run) + index][1]) for index, text in enumerate(texts)]
            drawn.append((MASK, 0))
            run, before = [], ()
        return drawn[:-1]

    def _draw(self, draft: list[tuple[str, int]]) -> None:
        """Draw the last line of final text again, and the draft behind it."""
        text = "\r" + (f"\x1b[{self.above}A" if self.above else "") + "\x1b[J"
        text += "".join(_coloured(part, forward) for part, forward in [*self.line, *draft])
        print(text, end="", file=self.stream, flush=True)
        plain = "".join(part for part, _ in self.line)
        kept = plain.rfind("\n") + 1
        while kept and self.line:  # lines above the last one are never drawn again
            part, forward = self.line.pop(0)
            if len(part) > kept:
                self.line.insert(0, (part[kept:], forward))
            kept = max(0, kept - len(part))
        shown = "".join(part for part, _ in [*self.line, *draft]).split("\n")
        columns = shutil.get_terminal_size().columns
        self.above = sum(max(1, -(-_width(line) // columns)) for line in shown) - 1


def _coloured(text: str, forward: int) -> str:
    """Return text in its forward's colour; masks (forward 0) are dim."""
    if not text:
        return ""
    code = 2 if forward == 0 else COLOURS[(forward - 1) % len(COLOURS)]
    return "\n".join(f"\x1b[{code}m{line}\x1b[0m" if line else "" for line in text.split("\n"))


def _visible(text: str) -> str:
    """Return text in which nothing but line ends can move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "\ufffd" for c in text)


def _width(text: str) -> int:
    """Return the columns that a line takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
