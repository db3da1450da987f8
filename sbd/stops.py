"""Stop strings: where the text of a row's tokens first holds one of them.

Knows a tokenizer and token ids; knows nothing of models or decoding.
"""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase


class StopStrings:
    """Finds, row by row, the first token whose text completes a stop string."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None, strings: list[str], rows: int) -> None:
        if tokenizer is None:
            raise ValueError(
                f"stop_strings={strings!r} needs a tokenizer; model.generate passes none on: call sbd.generate itself"
            )
        if "" in strings:
            raise ValueError("stop_strings holds an empty string; remove it")
        self.tokenizer, self.strings = tokenizer, strings
        self.seen = [0] * rows
        self.window = max(len(string.encode()) for string in strings) + 4  # a token holds at least one byte of text

    def __call__(self, row: int, tokens: list[int]) -> int | None:
        """Return how many of the row's tokens to keep, or None; tokens seen before are not searched again."""
        seen, self.seen[row] = self.seen[row], len(tokens)
        begin = max(0, seen - self.window)
        if not self._found(tokens[begin:]):
            return None
        return next((keep for keep in range(seen + 1, len(tokens)) if self._found(tokens[begin:keep])), len(tokens))

    def _found(self, tokens: list[int]) -> bool:
        text = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return any(string in text for string in self.strings)
