"""Function completion after HumanEval+ and text-to-function after MBPP, with inputs in evalplus's format.

HumanEval+-like tasks show a header and a docstring and want the body as statements, one a stage. MBPP-like tasks show a
sentence and an assertion and want the whole function as a loop, with a second argument in most cases.
"""

from __future__ import annotations

from random import Random
from typing import Any

from harness.mini.dsl import ENDS, LOOP_ENDS, OPERATIONS, Pipeline, draw_pipeline, loop, statements
from harness.mini.nearmiss import choose_inputs, pipeline_misses, probe_values, text_misses
from harness.mini.problem import Sample
from harness.mini.strings import TextPipeline, draw_text_pipeline, text_statements
from harness.mini.words import ARGUMENTS, LETTERS, NOUNS, TEXT_ARGUMENTS, VERBS

TEXT_SHARE = 0.2
BASE, PLUS = 4, 12
INDENT = "\n    "


def function_name(rng: Random) -> str:
    """Draw a name such as get_total; it says nothing about the task."""
    return f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}"


def instruction(rng: Random, pipeline: Pipeline | TextPipeline, verb: str, wide: bool) -> str:
    """Put the wording of a pipeline into one sentence, beginning in lower case."""
    steps, end = pipeline.phrases(rng, wide), pipeline.end_phrase(rng, wide)
    form = rng.randrange(4 if wide else 2)
    if form == 0:
        return ", ".join(steps) + f" and {verb} {end}."
    if form == 1:
        return ", then ".join(steps) + f", then {verb} {end}."
    if form == 2:
        return f"{verb} {end} after these steps: " + ", ".join(steps) + "."
    return "first " + " and ".join(steps) + f". Then {verb} {end}."


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[0].upper() + text[1:]


def humaneval(rng: Random, wide: bool) -> Sample:
    """Draw one function to complete from its header and docstring; source: the format of HumanEval+."""
    stages = rng.randint(1, 3)
    if rng.random() < TEXT_SHARE:
        text_task = draw_text_pipeline(rng, stages)
        argument = rng.choice(TEXT_ARGUMENTS)
        lines, value = text_statements(text_task, argument)
        return _completion(rng, text_task, argument, [*lines, f"return {value}"], wide)
    task = draw_pipeline(rng, stages, tuple(ENDS))
    argument = rng.choice(ARGUMENTS)
    lines, value = statements(task, argument)
    return _completion(rng, task, argument, [*lines, f"return {value}"], wide)


def _completion(rng: Random, task: Pipeline | TextPipeline, argument: str, lines: list[str], wide: bool) -> Sample:
    name = function_name(rng)
    sentence = capital(instruction(rng, task, "return", wide))
    return Sample(
        prompt=f'def {name}({argument}):\n    """{sentence}"""\n',
        completion="    " + INDENT.join(lines),
        key=task.key,
        task=task,
        entry_point=name,
    )


def mbpp(rng: Random, wide: bool) -> Sample:
    """Draw one function to write from a sentence and an assertion; source: the format of MBPP."""
    name = function_name(rng)
    stages = rng.randint(1, 3)
    task: Pipeline | TextPipeline
    if rng.random() < TEXT_SHARE:
        task = draw_text_pipeline(rng, stages)
        arguments = "s"
        steps, value = text_statements(task, "s")
        lines = [*steps, f"return {value}"]
    else:
        task = draw_pipeline(rng, stages, tuple(LOOP_ENDS), parameter="n" if rng.random() < 0.7 else None)
        arguments = "xs, n" if takes_number(task) else "xs"
        lines = [*loop(task, "xs"), "return out"]
    example = draw_arguments(rng, task, small=True)
    call = ", ".join(repr(value) for value in example)
    sentence = instruction(rng, task, "return", wide)
    opening = ("Write a function to ", "Write a python function to ", "Write code to ")[rng.randrange(3 if wide else 2)]
    return Sample(
        prompt=f'"""\n{opening}{sentence}\nassert {name}({call}) == {evaluate(task, example)!r}\n"""\n',
        completion=f"def {name}({arguments}):{INDENT}" + INDENT.join(lines),
        key=task.key,
        task=task,
        entry_point=name,
    )


def takes_number(task: Pipeline | TextPipeline) -> bool:
    """Tell whether a task has a second argument n."""
    return isinstance(task, Pipeline) and any(constant == "n" for _, constant in task.stages)


def evaluate(task: Pipeline | TextPipeline, arguments: list[Any]) -> Any:
    """Return the value of a task on its arguments by the meaning of its steps, not by its code."""
    if isinstance(task, TextPipeline):
        return task.apply(arguments[0])
    return task.apply(arguments[0], n=arguments[1]) if takes_number(task) else task.apply(arguments[0])


def draw_arguments(rng: Random, task: Pipeline | TextPipeline, small: bool = False) -> list[Any]:
    """Draw arguments for a task: short and near its constants when `small`, else longer and wider."""
    if isinstance(task, TextPipeline):
        letters = [rng.choice(LETTERS) for _ in range(rng.randint(2, 3) if small else rng.randint(0, 12))]
        named = [letter for _, a, b, _ in (*task.stages, task.end) for letter in (a, b)]
        return ["".join(rng.choice(named) if rng.random() < 0.4 else letter for letter in letters)]
    number = rng.randint(2, 9)
    constants = [number if c == "n" else c for _, c in task.stages if c is not None] or [10]
    values = []
    for _ in range(rng.randint(2, 3) if small else rng.randint(1, 8)):
        near = int(rng.choice(constants))
        low, high = (max(1, near - 5), near + 9) if small else (-near - 9, 2 * near + 20)
        factor = near if _needs_multiples(task) and rng.random() < 0.5 else 1
        values.append(rng.randint(low, high) * (1 if small else factor))
    return [values, number] if takes_number(task) else [values]


def _needs_multiples(task: Pipeline) -> bool:
    return any(OPERATIONS[name].group == "division" for name, _ in task.stages)


def evalplus_record(sample: Sample, task_id: str, rng: Random) -> dict[str, Any]:
    """Return a task in evalplus's data format with BASE and PLUS inputs; the empty input begins the latter."""
    task = sample.task
    misses: list[Any]
    probes: list[Any] = []
    empty: list[Any] = [""]
    if isinstance(task, TextPipeline):
        misses = text_misses(task)
    else:
        number = [rng.randint(2, 9)] if takes_number(task) else []
        misses, empty = pipeline_misses(task), [[], *number]
        probes = [[[x], *number] for x in probe_values(rng)]
    base = [draw_arguments(rng, task, small=i == 0) for i in range(BASE)]
    inputs = choose_inputs(
        task,
        misses,
        evaluate,
        lambda: draw_arguments(rng, task),
        fixed=[*base, empty],
        probes=probes,
        count=BASE + PLUS,
    )
    return {
        "task_id": task_id,
        "entry_point": sample.entry_point,
        "prompt": sample.prompt,
        "contract": "",
        "canonical_solution": sample.completion + "\n",
        "base_input": inputs[:BASE],
        "plus_input": inputs[BASE:],
        "atol": 0,
    }
