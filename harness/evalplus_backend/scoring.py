"""Scores solutions with evalplus's own evaluator inside the sandbox; knows nothing of models or records.

A worker of evalplus that fails can make it wait for ever, and one solution can take others down with it. So every run
has a time limit, ends with all its processes, and is repeated in halves where it fails, until the guilty one is alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.sandbox import Job, Limits, choose, run

STATUSES = {"pass", "fail", "timeout"}
CHUNK = 32
"""Problems scored in one sandbox: enough to share a start of some seconds, few enough to bound the time of one run."""

START_SECONDS, PROBLEM_SECONDS = 120.0, 130.0
"""Time for the start and the expected outputs; evalplus's own longest time for one problem, base and plus tests."""

MEMORY = 4 << 30
"""Bytes of address space that evalplus gives a solution. The evaluator around it gets three times that."""

# DEVIATION evalplus 0.3.1: a solution's process inherits the expected outputs, and those of Mbpp/255, 1.7 million
# tuples of 77, leave so little of 4 GiB that even its own solution fails; beside them solutions get twice as much.
GREAT_OUTPUTS = {"Mbpp/255"}

# DEVIATION evalplus 0.3.1: it forgets to count the passed tests of HumanEval/32 (find_zero), so that no solution
# passes, not even its own; the driver adds the missing count where that code is found.
DRIVER = """
import json, os, resource, sys
request = json.load(sys.stdin)
out = os.dup(1)
os.register_at_fork(after_in_child=lambda: os.close(out))
os.dup2(2, 1)
stack = resource.getrlimit(resource.RLIMIT_STACK)[1]
memory = request["memory"] if stack == resource.RLIM_INFINITY else min(stack, request["memory"])
os.environ.update(HOME="/tmp", XDG_CACHE_HOME="/tmp/cache", OPENBLAS_NUM_THREADS="1", TQDM_DISABLE="1",
                  EVALPLUS_MAX_MEMORY_BYTES=str(memory))
for name in ("HUMANEVAL", "MBPP"):
    os.environ[name + "_OVERRIDE_PATH"] = "/tmp/problems.jsonl"
for name in ("problems", "samples"):
    with open(f"/tmp/{name}.jsonl", "w") as stream:
        stream.writelines(json.dumps(line) + "\\n" for line in request[name])
sys.stdout = open(os.devnull, "w")
import inspect
import evalplus.eval
end = "assert abs(_poly(*inp, out)) <= atol\\n"
passed = "details[i] = True; progress.value += 1\\n"
exec(inspect.getsource(evalplus.eval.unsafe_execute).replace(end + 28 * " " + "continue", end + 28 * " " + passed
     + 28 * " " + "continue"), evalplus.eval.__dict__)
from evalplus.evaluate import evaluate
evaluate(dataset=request["dataset"], samples="/tmp/samples.jsonl", parallel=request["parallel"],
         min_time_limit=request["test_seconds"])
with open("/tmp/samples_eval_results.json") as stream:
    results = json.load(stream)["eval"]
verdicts = {task: [lines[0]["base_status"], lines[0]["plus_status"]] for task, lines in results.items()}
data = json.dumps(verdicts).encode()
while data:
    data = data[os.write(out, data):]
os._exit(0)  # A thread of evalplus would sleep on.
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """evalplus's judgement on one solution.

    Attributes:
        base, plus: "pass", "fail" or "timeout" on the original and the extra tests; "error" where there is none.
        error: why there is none, in a line.
        sandbox: the tier it ran in.
    """

    base: str
    plus: str
    error: str | None
    sandbox: str

    @property
    def base_passed(self) -> bool:
        """Whether it solves the original benchmark's tests."""
        return self.base == "pass"

    @property
    def plus_passed(self) -> bool:
        """Whether it solves those and the extra ones."""
        return self.base == self.plus == "pass"


def score(
    dataset: str, problems: Sequence[dict[str, Any]], solutions: Mapping[str, str], *, tier: str | None = None,
    workers: int | None = None, test_seconds: float = 1.0,
) -> dict[str, Verdict]:  # fmt: skip
    """Judge one solution of each problem.

    Args:
        dataset: "humaneval" or "mbpp". problems: lines of evalplus's own data file.
        solutions: task id -> whole program text; one for each of the problems.
        tier: sandbox; None takes the strongest. workers: solutions judged at a time; None: one a core.
        test_seconds: time that one test may take where the canonical solution is quick; evalplus's default is 1.

    Raises:
        ValueError: where the sandbox does not start.
    """
    tier = choose() if tier is None else tier
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    verdicts: dict[str, Verdict] = {}
    waiting = [list(problems[start : start + CHUNK]) for start in range(0, len(problems), CHUNK)]
    while waiting:
        chunk = waiting.pop()
        found, error = _score_chunk(dataset, chunk, solutions, tier, workers, test_seconds)
        if error is None:
            verdicts |= found
        elif len(chunk) > 1:
            waiting += [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]
        else:
            verdicts[chunk[0]["task_id"]] = Verdict(base="error", plus="error", error=error, sandbox=tier)
    return verdicts


def _score_chunk(
    dataset: str, chunk: list[dict[str, Any]], solutions: Mapping[str, str], tier: str, workers: int,
    test_seconds: float,
) -> tuple[dict[str, Verdict], str | None]:  # fmt: skip
    """Run evalplus on some problems; returns their verdicts, or an error."""
    names = [problem["task_id"] for problem in chunk]
    memory = 2 * MEMORY if GREAT_OUTPUTS & set(names) else MEMORY
    request = {
        "dataset": dataset, "parallel": workers, "memory": memory, "problems": chunk, "test_seconds": test_seconds,
        "samples": [{"task_id": name, "solution": solutions[name]} for name in names],
    }  # fmt: skip
    text = json.dumps(request)
    seconds = START_SECONDS + PROBLEM_SECONDS * -(-len(chunk) // workers)
    limits = Limits(
        test_seconds=seconds, wall_seconds=seconds, cpu_seconds=3600, memory_bytes=3 * MEMORY,
        processes=64 + 4 * workers, file_bytes=1 << 30, tmpfs_bytes=(1 << 30) + 4 * len(text),
    )  # fmt: skip
    outcome = run(Job(source=DRIVER, inputs=[text], limits=limits, packages=True, proc=True), tier)
    if outcome.error is not None:
        if "did not start" in outcome.error:
            raise ValueError(outcome.error)
        return {}, outcome.error
    try:
        verdicts = {
            name: Verdict(base=base, plus=plus, error=None, sandbox=tier)
            for name, (base, plus) in json.loads(outcome.values[0]).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}, "evalplus's report is damaged"
    if (
        sorted(verdicts) != sorted(names)
        or not {v.base for v in verdicts.values()} | {v.plus for v in verdicts.values()} <= STATUSES
    ):
        return {}, "evalplus's report is damaged"
    return verdicts, None
