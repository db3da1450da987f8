"""The tokenizer of the mini models: one token a word, a digit or a line break with its indent; bytes for anything else.

The vocabulary holds the special tokens, the 256 bytes and the most frequent pieces of the corpora, so that encoding and
decoding are exact for every text. Pieces come from one regular expression; a piece of the vocabulary is never split
(`ignore_merges`), another one falls apart into bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.mini.corpus import pretrain_texts, sft_examples

END_TOKEN, PAD_TOKEN, MASK_TOKEN = "<|endoftext|>", "<|pad|>", "<|mask|>"
RESERVED = tuple(f"<|reserved_{i}|>" for i in range(5))
VOCABULARY_SIZE = 704
SAMPLE_SIZE = 20_000
MINIMUM_COUNT = 10
# A boxed answer's opening; a line break with its indent; a word with one space or underscore before it; one digit;
# punctuation with the spaces around it (after it only before a digit); other spaces. A prompt ends in a colon or in
# quotes with a line break: nothing is glued to these, so prompt and completion give the same tokens apart and joined.
PIECES = r'\\boxed\{|(?<=""")\n|\n *| ?_?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+(?:(?<!:) (?=[0-9]))?| +|\s'


def train_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Build the tokenizer from a sample of both corpora; the same seed gives the same tokenizer.

    Args:
        seed: seed of the sampled corpora.

    Returns:
        Tokenizer with `<|endoftext|>` as end, `<|pad|>` as padding, `<|mask|>` and reserved tokens as further special
        tokens, and no token added at the beginning of a text.
    """
    texts = [row["prompt"] + row["completion"] for row in sft_examples(seed, SAMPLE_SIZE)]
    texts += [row["text"] for row in pretrain_texts(seed, SAMPLE_SIZE)]
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    special = [END_TOKEN, PAD_TOKEN, MASK_TOKEN, *RESERVED]
    tokenizer = Tokenizer(models.BPE(vocab=_vocabulary(texts, splitter, special), merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        additional_special_tokens=[MASK_TOKEN, *RESERVED],
        clean_up_tokenization_spaces=False,
    )


def _vocabulary(texts: Iterable[str], splitter: pre_tokenizers.PreTokenizer, special: list[str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = set(alphabet)
    pieces = sorted(
        (piece for piece, count in counts.items() if count >= MINIMUM_COUNT and piece not in known),
        key=lambda piece: (-counts[piece], piece),
    )
    tokens = [*special, *alphabet, *pieces][:VOCABULARY_SIZE]
    tokens += [f"<|unused_{i}|>" for i in range(VOCABULARY_SIZE - len(tokens))]
    return {token: index for index, token in enumerate(tokens)}


def save_tokenizer(folder: Path, seed: int = 0) -> PreTrainedTokenizerFast:
    """Build the tokenizer and write it to a folder that AutoTokenizer loads."""
    tokenizer = train_tokenizer(seed)
    tokenizer.save_pretrained(folder)
    return tokenizer
