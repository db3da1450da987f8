"""Checks records by themselves: manifest, problems, counts, and each answer scored again from its text.

An answer is a problem and a text; arms that gave the same answer share its score, so each is scored once. Where the
score differs from the record's it is asked again alone, since a busy machine can make a slow program miss its limit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from harness.arms import run_id
from harness.benchmarks import BENCHMARKS
from harness.judging import judge
from harness.mini import Problem, Score
from harness.results import Choice, Record, read, read_manifest
from harness.review.places import Places, files_of, records_of
from harness.review.tables import Difference, Outcome

Answer = tuple[str, str, str]
"""(benchmark, item id, text)"""


def verify_records(places: Places, workers: int | None, rescore: bool) -> Outcome:
    """Check every file of records of a scale.

    Args:
        workers: answers scored at once; None: one a core that this process may use. rescore: whether to score at all.

    Raises:
        ValueError: where a file is damaged, or a benchmark's problems cannot be had.
    """
    files = {path: records_of(path) for path in files_of(places.records, Record)}
    problems = {
        name: {problem.item_id: problem for problem in BENCHMARKS[name].problems(BENCHMARKS[name].size)}
        for name in {line.benchmark for lines in files.values() for line in lines} & set(BENCHMARKS)
    }
    differences: list[Difference] = []
    for path, lines in files.items():
        where = str(path.relative_to(places.records))
        differences += check_manifest(path, lines, where)
        for line in lines:
            differences += check_record(line, problems.get(line.benchmark), f"{where}, {line.item_id}")
    count = sum(map(len, files.values()))
    checked, left_out = [f"{count} records in {len(files)} files against their manifests and problems"], []
    choices = [(path, line) for path in files_of(places.records, Choice) for line in read(path, Choice)]
    differences += [found for path, line in choices for found in check_choice(line, f"{path.name}, {line.item_id}")]
    checked += [f"{len(choices)} multiple-choice answers from their log-likelihoods"] if choices else []
    if rescore:
        known = [
            (path, line) for path, lines in files.items() for line in lines
            if line.item_id in problems.get(line.benchmark, {})
        ]  # fmt: skip
        scores = score_all([line for _, line in known], problems, workers)
        for path, line in known:
            where = f"{path.relative_to(places.records)}, {line.item_id}"
            differences += check_score(line, scores[_answer(line)], where)
        checked.append(f"{len(known)} records scored again ({len(scores)} different answers)")
        left_out += [f"{count - len(known)} records of benchmarks without a scorer here"] if count > len(known) else []
    return Outcome(checked=checked, differences=differences, left_out=left_out)


def check_manifest(path: Path, lines: Sequence[Record], where: str) -> list[Difference]:
    """Check that the manifest beside a file has its run, that the run's id is its configuration's, and its values."""
    if not lines:
        return []
    identity = lines[0].run_id
    entries = [entry for entry in read_manifest(path.parent) if entry.get("run_id") == identity]
    if not entries:
        return [Difference(where=f"{where}, run in manifest.json", committed="", again=identity)]
    settings = entries[-1].get("configuration")
    if settings is None:
        return []
    found = []
    if run_id(settings) != identity:
        found.append(Difference(where=f"{where}, run id", committed=identity, again=run_id(settings)))
    for name in settings.keys() & vars(lines[0]).keys():
        odd = next((line for line in lines if getattr(line, name) != settings[name]), None)
        if odd is not None:
            found.append(
                Difference(where=f"{where}, {odd.item_id}, {name}", committed=str(getattr(odd, name)),
                           again=str(settings[name]))
            )  # fmt: skip
    return found


def check_record(line: Record, problems: dict[str, Problem] | None, where: str) -> list[Difference]:
    """Check a record's prompt against its problem's, and its forwards against their kinds."""
    found = []
    if problems is not None:
        problem = problems.get(line.item_id)
        mine = "" if problem is None else problem.prompt_hash
        if mine != line.prompt_hash:
            found.append(Difference(where=f"{where}, prompt", committed=line.prompt_hash, again=mine))
    if line.stop_reason != "error":
        forwards = sum(count for kind, count in line.nfe.items() if kind != "prefill") + (line.decoding == "ar")
        if forwards != line.nfe_decode:
            found.append(Difference(where=f"{where}, nfe_decode", committed=str(line.nfe_decode), again=str(forwards)))
        if line.decoding == "ar" and forwards != len(line.generated_ids):
            tokens = str(len(line.generated_ids))
            found.append(Difference(where=f"{where}, tokens, one a forward", committed=tokens, again=str(forwards)))
    return found


def check_choice(line: Choice, where: str) -> list[Difference]:
    """Check that a multiple-choice answer is right where its log-likelihood says so."""
    best = max(range(len(line.loglikelihoods)), key=line.loglikelihoods.__getitem__)
    if line.correct == (best == line.label):
        return []
    return [Difference(where=f"{where}, correct", committed=str(line.correct), again=str(best == line.label))]


def check_score(line: Record, score: Score, where: str) -> list[Difference]:
    """Check a record's verdict and extracted answer against a new score of its text."""
    correct = score.correct and line.stop_reason != "error"
    pairs = (("correct", line.correct, correct), ("extracted", line.extracted, score.extracted))
    return [
        Difference(where=f"{where}, {name}", committed=repr(old), again=repr(new) + _why(score))
        for name, old, new in pairs if old != new
    ]  # fmt: skip


def score_all(
    lines: Sequence[Record], problems: dict[str, dict[str, Problem]], workers: int | None
) -> dict[Answer, Score]:
    """Score each different answer once, `workers` at a time, with a progress bar."""
    known: dict[Answer, Record] = {_answer(line): line for line in lines}

    def score(answer: Answer) -> Score:
        name, item_id, text = answer
        return judge(BENCHMARKS[name].score, [(problems[name][item_id], text)])[0]

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        scores = tqdm(pool.map(score, known), total=len(known), desc="answers", unit="", disable=None)
        found = dict(zip(known, scores, strict=True))
    again = {answer: score(answer) for answer, line in known.items() if check_score(line, found[answer], "")}
    return found | again


def _answer(line: Record) -> Answer:
    return line.benchmark, line.item_id, line.text


def _why(score: Score) -> str:
    return f" ({score.error})" if score.error else ""
