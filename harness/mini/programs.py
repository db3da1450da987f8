"""Programs that read numbers and print a value, after LiveCodeBench, with tests in its format; scores nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from harness.mini.dsl import Pipeline, draw_pipeline, statements
from harness.mini.functions import capital, draw_arguments, instruction
from harness.mini.nearmiss import choose_inputs, pipeline_misses, probe_values
from harness.mini.problem import Sample

LIST_ENDS = ("list", "reversed", "sorted")
ENDS = ("sum", "count", "max", "min", "first", "last", *LIST_ENDS)
DECISION_ENDS = ("sum", "count", "max", "min")
DIFFICULTY = {1: "easy", 2: "medium", 3: "hard"}
STAGES = (1, 1, 2, 2, 2, 3)
PUBLIC, PRIVATE = 2, 8


@dataclass(frozen=True, kw_only=True)
class Program:
    """A pipeline between input and output; with a threshold it prints YES or NO."""

    pipeline: Pipeline
    threshold: int | None

    @property
    def reads_number(self) -> bool:
        """Whether the first line of the input also holds k."""
        return any(constant == "k" for _, constant in self.pipeline.stages)

    @property
    def key(self) -> str:
        """Canonical parameters: those of the pipeline, and the threshold."""
        return self.pipeline.key + ("" if self.threshold is None else f"|over {self.threshold}")

    def output(self, values: list[int], k: int) -> str:
        """Return what the program prints for an input, by the meaning of its steps."""
        value = self.pipeline.apply(values, k=k)
        if isinstance(value, list):
            return " ".join(str(x) for x in value)
        if self.threshold is None:
            return str(value)
        return "YES" if value > self.threshold else "NO"


def sample(rng: Random, wide: bool) -> Sample:
    """Draw one program to write from its question; source: the stdin problems of LiveCodeBench."""
    decides = rng.random() < 0.2
    parameter = "k" if rng.random() < 0.3 else None
    stages = rng.choice(STAGES) - (1 if decides else 0)
    pipeline = draw_pipeline(rng, max(1, stages), DECISION_ENDS if decides else ENDS, parameter)
    program = Program(pipeline=pipeline, threshold=rng.randint(5, 99) if decides else None)
    return Sample(
        prompt=f"### Question:\n{question(rng, program, wide)}\n### Answer:\n",
        completion=code(program),
        key=program.key,
        task=program,
    )


def question(rng: Random, program: Program, wide: bool) -> str:
    """Word a question: what is read, what is done, what is printed."""
    text = capital(instruction(rng, program.pipeline, "take" if program.threshold is not None else "print", wide))
    first = "n and k" if program.reads_number else "n"
    openings = (
        f"Read {first} and then n integers.",
        f"You are given {first} and n integers.",
        f"The input is {first}, then n integers.",
    )
    goal = "" if program.threshold is None else f" Print YES if it is over {program.threshold}, else NO."
    return f"{openings[rng.randrange(3 if wide else 2)]} {text}{goal}"


def code(program: Program) -> str:
    """Return the canonical program (Python 3.11)."""
    head = "n, k = map(int, input().split())" if program.reads_number else "n = int(input())"
    lines, value = statements(program.pipeline, "xs")
    if program.threshold is not None:
        last = f'print("YES" if {value} > {program.threshold} else "NO")'
    else:
        last = f"print(*{value})" if program.pipeline.end in LIST_ENDS else f"print({value})"
    return "\n".join([head, "xs = list(map(int, input().split()))", *lines, last])


def record(item: Sample, index: int, rng: Random) -> dict[str, Any]:
    """Return a problem with LiveCodeBench's fields; one private test has no numbers at all."""
    program: Program = item.task
    inputs = choose_inputs(
        program,
        near_misses(program),
        lambda task, given: task.output(*given),
        lambda: draw_input(program, rng),
        fixed=[draw_input(program, rng) for _ in range(PUBLIC)] + [([], 2)],
        probes=draw_probes(program, rng),
        count=PUBLIC + PRIVATE,
    )
    tests = [_test(program, values, k) for values, k in inputs]
    return {
        "question_title": f"Mini {index}",
        "question_content": item.prompt.removeprefix("### Question:\n").removesuffix("\n### Answer:\n"),
        "platform": "mini",
        "question_id": f"mini_{index}",
        "contest_id": "mini",
        "contest_date": "2025-01-01T00:00:00",
        "starter_code": "",
        "difficulty": DIFFICULTY[len(program.pipeline.stages) + (program.threshold is not None)],
        "public_test_cases": json.dumps(tests[:PUBLIC]),
        "private_test_cases": json.dumps(tests[PUBLIC:]),
        "metadata": "{}",
    }


def near_misses(program: Program) -> list[Program]:
    """Return programs that differ from a program in one stage, the end or the threshold."""
    misses = [replace(program, pipeline=pipeline) for pipeline in pipeline_misses(program.pipeline)]
    if program.threshold is None:
        return misses
    decided = [miss for miss in misses if miss.pipeline.end in DECISION_ENDS]
    return decided + [replace(program, threshold=program.threshold + step) for step in (-1, 1)]


def draw_input(program: Program, rng: Random) -> tuple[list[int], int]:
    """Draw the numbers and the k of one input, near the program's constants."""
    k = rng.randint(2, 9)
    stages = tuple((name, k if c == "k" else c) for name, c in program.pipeline.stages)
    return draw_arguments(rng, Pipeline(stages=stages, end=program.pipeline.end))[0], k


def draw_probes(program: Program, rng: Random) -> list[tuple[list[int], int]]:
    """Draw lists of one number, and for a threshold on the count also lists of about that many equal numbers."""
    k, values = rng.randint(2, 9), probe_values(rng)
    probes = [([x], k) for x in values]
    if program.threshold is None or program.pipeline.end != "count":
        return probes
    return [([x] * (program.threshold + more), k) for x in values[:20] for more in (0, 1)]


def _test(program: Program, values: list[int], k: int) -> dict[str, str]:
    first = f"{len(values)} {k}" if program.reads_number else str(len(values))
    text = f"{first}\n{' '.join(str(v) for v in values)}\n"
    return {"input": text, "output": program.output(values, k) + "\n", "testtype": "stdin"}
