"""Runs arms of Table 1: problems -> sbd.generate -> text -> score -> record; resumes where an earlier run stopped."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from harness import machine
from harness.arms import Arm
from harness.engine import Engine, check_positions, generate, load
from harness.judging import judge
from harness.mini import Problem, Score
from harness.prompts import prompt_ids
from harness.results import ArmFile, Record, note
from sbd.generate import Generation


@dataclass(frozen=True)
class Answer:
    """One item's decoding, before it is scored; `error` where decoding failed."""

    problem: Problem
    fields: dict[str, Any]


def run_arm(
    arm: Arm, engine: Engine, problems: Sequence[Problem], file: ArmFile[Record], batch_size: int, bar: tqdm[Any]
) -> None:
    """Append a record for each problem that the file does not hold yet, batch by batch."""
    missing = [problem for problem in problems if problem.item_id not in file]
    check_positions(engine, arm, [prompt_ids(engine.tokenizer, problem.prompt) for problem in missing])
    common = {name: value for name, value in arm.configuration.items() if name in Record.__dataclass_fields__}
    for start in range(0, len(missing), batch_size):
        answers = decode(arm, engine, missing[start : start + batch_size])
        scores = judge(arm.entry.score, [(answer.problem, answer.fields["text"]) for answer in answers])
        for answer, score in zip(answers, scores, strict=True):
            file.append(_record(arm, common, answer, score))
            bar.update()
        file.sync()


def decode(arm: Arm, engine: Engine, problems: Sequence[Problem]) -> list[Answer]:
    """Decode a batch; where that fails, decode its items one by one, so that one bad item costs only itself."""
    prompts = [prompt_ids(engine.tokenizer, problem.prompt) for problem in problems]
    try:
        generation = generate(engine, arm, prompts)
        budget = generate(engine, arm, prompts, to_budget=True).ledger if arm.measures_budget else None
    except (ValueError, RuntimeError) as error:
        if len(problems) > 1:
            return [answer for problem in problems for answer in decode(arm, engine, [problem])]
        return [Answer(problems[0], _failed(str(error)))]
    ledger, rows = generation.ledger, len(problems)
    share = {
        "prefill": round(ledger.seconds_prefill / rows, 6),
        "decode": round(ledger.seconds_decode / rows, 6),
    }
    return [
        Answer(
            problem,
            _decoded(engine.tokenizer, generation, row)
            | {"seconds": share, "batch_rows": rows, "nfe_budget": budget.nfe_decode(row) if budget else None},
        )
        for row, problem in enumerate(problems)
    ]


def _decoded(tokenizer: PreTrainedTokenizerBase, generation: Generation, row: int) -> dict[str, Any]:
    ids = generation.tokens[row].tolist()
    ledger = generation.ledger
    return {
        "generated_ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=True),
        "stop_reason": generation.stop_reason[row], "error": None,
        "nfe": {kind: int(counts[row]) for kind, counts in ledger.nfe.items()},
        "nfe_decode": int(ledger.nfe_decode(row)),
    }  # fmt: skip


def _failed(error: str) -> dict[str, Any]:
    return {
        "generated_ids": [], "text": "", "stop_reason": "error", "error": f"decoding failed: {error}",
        "nfe": {}, "nfe_decode": 0, "nfe_budget": None, "seconds": {"prefill": 0.0, "decode": 0.0}, "batch_rows": 1,
    }  # fmt: skip


def _record(arm: Arm, common: dict[str, Any], answer: Answer, score: Score) -> Record:
    failed = answer.fields["error"]
    return Record(
        **common, run_id=arm.run_id, item_id=answer.problem.item_id, prompt_hash=answer.problem.prompt_hash,
        correct=score.correct and failed is None, extracted=score.extracted, sandbox=score.sandbox,
        **{**answer.fields, "error": failed or score.error},
    )  # fmt: skip


def check_same_problems(file: ArmFile[Record], problems: Sequence[Problem]) -> None:
    """Refuse records of other problems under the same item ids.

    Raises:
        ValueError: naming the first such item.
    """
    for problem in problems:
        if problem.item_id in file and file.lines[problem.item_id].prompt_hash != problem.prompt_hash:
            raise ValueError(
                f"{str(file.path)!r} holds {problem.item_id!r} with another prompt than the suite has now; "
                "choose another folder with --out, or start over with --fresh"
            )


def run_grid(arms: Sequence[Arm], results: Path, count: int, batch_size: int, device: str, command: str) -> int:
    """Bring every arm up to the first `count` problems of its benchmark; returns how many records were made.

    Args:
        arms: what to run; those of one checkpoint side by side. results: folder of the records.
        count: problems of each benchmark. batch_size: rows decoded at once. device: as sbd.load takes it.
        command: for the manifest.

    Raises:
        ValueError: for files of other runs, damaged files, or checkpoints that cannot serve their arm.
        OSError: where records cannot be written.
    """
    problems = {name: arm.entry.problems(count) for name, arm in {arm.benchmark: arm for arm in arms}.items()}
    todo: list[tuple[Arm, ArmFile[Record], int]] = []
    with contextlib.ExitStack() as held:
        for arm in arms:
            file = ArmFile(arm.path(results), Record, arm.run_id)
            check_same_problems(file, problems[arm.benchmark])
            if any(problem.item_id not in file for problem in problems[arm.benchmark]):
                held.enter_context(file)
            missing = sum(problem.item_id not in file for problem in problems[arm.benchmark])
            todo += [(arm, file, missing)] if missing else []
        return _run(todo, problems, batch_size, device, command)


def _run(
    todo: Sequence[tuple[Arm, ArmFile[Record], int]], problems: dict[str, Sequence[Problem]], batch_size: int,
    device: str, command: str,
) -> int:  # fmt: skip
    """Make the missing records of each arm, whose files are ours; an arm that is done gives its file back."""
    total = sum(missing for _, _, missing in todo)
    with tqdm(total=total, desc="problems", unit="", disable=None) as bar:
        for engine, (arm, file, missing) in zip(_engines([arm for arm, _, _ in todo], device), todo, strict=True):
            start = time.perf_counter()
            bar.set_description(f"{arm.model} {arm.loss}/{arm.sampling} {arm.benchmark}")
            facts = machine.facts(engine.model.device) | {
                "problems": missing,
                "batch_size": batch_size,
                "command": command,
            }
            note(file.path.parent, {"run_id": arm.run_id, "configuration": arm.configuration, **facts})
            run_arm(arm, engine, problems[arm.benchmark], file, batch_size, bar)
            file.release()
            tqdm.write(_summary(arm, file, missing, time.perf_counter() - start), file=sys.stderr)
    return total


def _engines(arms: Sequence[Arm], device: str) -> Iterator[Engine]:
    """Yield each arm's checkpoint, loaded once where its arms stand side by side."""
    needs: dict[Path, set[str]] = {}
    for arm in arms:
        needs.setdefault(arm.checkpoint, set()).add(arm.decoding.decoding)
    engine: Engine | None = None
    for arm in arms:
        if engine is None or engine.checkpoint != arm.checkpoint:
            engine = load(arm.checkpoint, device, needs[arm.checkpoint])
        yield engine


def _summary(arm: Arm, file: ArmFile[Record], missing: int, seconds: float) -> str:
    lines = list(file.lines.values())
    solved, failed = sum(line.correct for line in lines), sum(line.stop_reason == "error" for line in lines)
    text = f"{arm.model} {arm.loss}/{arm.sampling} {arm.benchmark}: {missing} problems in {seconds:.0f} s"
    return f"{text}; {solved} of {len(lines)} solved" + (
        f"; {failed} failed to decode, see {file.path}" if failed else ""
    )
