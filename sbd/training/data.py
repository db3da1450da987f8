"""Training documents: read, tokenise, pack into rows, and put rows in a fixed order.

Knows prompts, completions and row lengths; knows nothing of masking or models.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from sbd.noise import Documents, clean_labels

BATCH_FIELDS = ("input_ids", "doc_row", "doc_offset", "doc_prompt", "doc_length")


@dataclass(frozen=True)
class Document:
    """One document: token ids, the first `prompt` of which carry no loss."""

    ids: list[int]
    prompt: int


def read_records(source: str) -> Iterator[dict[str, str]]:
    """Yield the records of a JSONL file, or of a Hugging Face data set's train split when no such file exists."""
    path = Path(source)
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(
                        f"{source}:{number} is no JSON record ({error.msg}); mend or remove the line"
                    ) from error
    elif path.suffix in (".jsonl", ".json") or source.startswith((".", "/")):
        raise ValueError(f"the data file {source!r} does not exist; make it first, or give a Hugging Face data set id")
    else:
        try:
            from datasets import load_dataset
        except ImportError as error:
            raise ValueError(f"{source!r} is no file; to load it as a data set id, pip install datasets") from error
        yield from load_dataset(source, split="train")


def tokenize(
    records: Iterator[dict[str, str]], tokenizer: PreTrainedTokenizerBase, max_length: int, source: str
) -> list[Document]:
    """Turn records into documents that end with the end-of-text token, cut to max_length tokens.

    Prompt and completion are tokenised apart, so that the completion's tokens are those that decoding would emit.
    Documents whose prompt alone fills the row carry no loss and are left out.
    """
    batch = list(records)
    for number, record in enumerate(batch, 1):
        if not ({"prompt", "completion"} <= record.keys() or "text" in record):
            raise ValueError(f"{source}: record {number} has neither prompt and completion nor text")
    prompts = [r.get("prompt", "") for r in batch]
    completions = [r["completion"] if "completion" in r else r["text"] for r in batch]
    bar = tqdm(range(0, len(batch), 10_000), desc=f"tokenise {Path(source).name}", unit="0k docs", leave=False)
    documents = []
    for start in bar:
        part = slice(start, start + 10_000)
        heads = tokenizer(prompts[part], add_special_tokens=False).input_ids
        tails = tokenizer(completions[part], add_special_tokens=False).input_ids
        begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
        for head, tail in zip(heads, tails, strict=True):
            prompt = begin + head
            document = Document((prompt + tail + [tokenizer.eos_token_id])[:max_length], len(prompt))
            if document.prompt < len(document.ids):
                documents.append(document)
    return documents


def pack(documents: Sequence[Document], max_length: int) -> list[list[Document]]:
    """Put documents into rows of at most max_length tokens, in order; a row ends where the next does not fit."""
    rows: list[list[Document]] = []
    space = 0
    for document in documents:
        if len(document.ids) > space:
            rows.append([])
            space = max_length
        rows[-1].append(document)
        space -= len(document.ids)
    return rows


def batch_order(lengths: Sequence[int], batch: int, total: int, seed: int, window: int = 50) -> list[int]:
    """Return `total` row indices: shuffled epochs, with rows of like length side by side within windows of batches.

    A pure function of its arguments, so that a run that was stopped goes on with the very rows that were to come.
    """
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < total:
        epoch = list(range(len(lengths)))
        draw.shuffle(epoch)
        for start in range(0, len(epoch), batch * window):
            part = sorted(epoch[start : start + batch * window], key=lambda i: lengths[i])
            batches = [part[i : i + batch] for i in range(0, len(part), batch)]
            draw.shuffle(batches)
            order.extend(index for rows in batches for index in rows)
    return order[:total]


class OrderedRows(Dataset[list[Document]]):
    """Rows in the order in which training sees them."""

    def __init__(self, rows: Sequence[list[Document]], order: Sequence[int]) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> list[Document]:
        return self.rows[self.order[index]]


def collate(rows: Sequence[list[Document]], pad_id: int) -> dict[str, Tensor]:
    """Return a batch as tensors: the fields of noise.Documents and the clean labels."""
    width = max(sum(len(document.ids) for document in row) for row in rows)
    ids = torch.full((len(rows), width), pad_id)
    table = []
    for r, row in enumerate(rows):
        offset = 0
        for document in row:
            ids[r, offset : offset + len(document.ids)] = torch.tensor(document.ids)
            table.append((r, offset, document.prompt, len(document.ids)))
            offset += len(document.ids)
    columns = torch.tensor(table).unbind(dim=1)
    docs = Documents(ids, *columns)
    return {**dict(zip(BATCH_FIELDS, (ids, *columns), strict=True)), "labels": clean_labels(docs)}
