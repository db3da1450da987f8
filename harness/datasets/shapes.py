"""One shape for each benchmark's problems, from the fields of any of its sources.

Multiple choice takes the shapes of lm-eval's built-in tasks, so that these fit.
"""

from __future__ import annotations

import ast
import json
import random
import warnings
from typing import Any

from harness.maths import last_boxed

Doc = dict[str, Any]

LETTERS = "ABCD"


def gsm8k(raw: list[Doc]) -> list[Doc]:
    """Return question, solution, answer; the source's answer is a solution that ends in `#### n`."""
    return [
        {
            "question": doc["question"], "solution": doc["answer"],
            "answer": doc["answer"].rpartition("####")[2].strip().replace(",", ""),
        }
        for doc in raw
    ]  # fmt: skip


def math(raw: list[Doc]) -> list[Doc]:
    """Return problem, solution, answer; where there is a solution, its boxed answer is the answer."""
    return [
        {
            "problem": doc["problem"], "solution": doc.get("solution", ""),
            "answer": last_boxed(doc.get("solution", "")) or str(doc["answer"]),
        }
        for doc in raw
    ]  # fmt: skip


def humaneval(raw: list[Doc]) -> list[Doc]:
    """Return the fields of OpenAI's file."""
    names = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    return [{name: doc[name] for name in names} for doc in raw]


def humaneval_plus(raw: list[Doc]) -> list[Doc]:
    """Return prompt, entry_point, canonical_solution, and `tests` as JSON: inputs, atol, and base.

    `base` is how many of the inputs, from the first, are the original benchmark's. evalplus's own file says so; the
    hub's data set, whose tests are Python text without that border, gives None.
    """
    names = ("task_id", "prompt", "entry_point", "canonical_solution")
    docs = []
    for doc in raw:
        if "base_input" in doc:
            inputs, base, atol = doc["base_input"] + doc["plus_input"], len(doc["base_input"]), doc["atol"]
        else:
            (inputs, atol), base = _tests_in(doc["test"]), None
        tests = json.dumps({"inputs": inputs, "base": base, "atol": atol})
        docs.append({name: doc[name] for name in names} | {"tests": tests})
    return docs


def _tests_in(text: str) -> tuple[list[Any], float]:
    """Return inputs and tolerance from `check(candidate)`: a literal, and the last number of the loop over it."""
    check = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "check")
    inputs = next(
        node.value for node in check.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "inputs"
    )  # fmt: skip
    constants = [node.value for node in ast.walk(check.body[-1]) if isinstance(node, ast.Constant)]
    return ast.literal_eval(inputs), [value for value in constants if isinstance(value, (int, float))][-1]


def mbpp(raw: list[Doc]) -> list[Doc]:
    """Return the test split, problems 11 to 510."""
    names = ("task_id", "text", "code", "test_list", "test_setup_code")
    return [{name: doc[name] for name in names} for doc in raw if 11 <= int(doc["task_id"]) <= 510]


def mmlu(raw: list[Doc]) -> list[Doc]:
    """Return the test questions, each with its subject's five dev questions and answers as `shots`."""
    shots: dict[str, list[str]] = {}
    for doc in raw:
        if doc["split"] == "dev":
            shots.setdefault(doc["subject"], []).append(f"{_question(doc)} {LETTERS[doc['answer']]}\n\n")
    return [
        {
            "subject": doc["subject"], "shots": _heading(doc["subject"]) + "".join(shots[doc["subject"]][:5]),
            "query": _question(doc), "choices": list(LETTERS), "gold": doc["answer"],
        }
        for doc in raw
        if doc["split"] == "test"
    ]  # fmt: skip


def _heading(subject: str) -> str:
    name = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {name}.\n\n"


def _question(doc: Doc) -> str:
    lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, doc["choices"], strict=True)]
    return "\n".join([doc["question"].strip(), *lines, "Answer:"])


def gpqa(raw: list[Doc]) -> list[Doc]:
    """Return the questions with their choices in an order drawn from each question's own seed."""
    docs = []
    for doc in raw:
        right = doc["Correct Answer"].strip()
        choices = [right, *(doc[f"Incorrect Answer {number}"].strip() for number in (1, 2, 3))]
        random.Random(doc["Question"]).shuffle(choices)
        docs.append({"question": doc["Question"].strip(), "choices": choices, "gold": choices.index(right)})
    return docs


def hellaswag(raw: list[Doc]) -> list[Doc]:
    """Return the fields that lm-eval's task reads."""
    return [{name: doc[name] for name in ("activity_label", "ctx_a", "ctx_b", "endings", "label")} for doc in raw]


def winogrande(raw: list[Doc]) -> list[Doc]:
    """Return sentence, option1, option2, answer; from filled-in options the blank stands at the beginning."""
    docs = []
    for doc in raw:
        if "sentence" in doc:
            docs.append({name: doc[name] for name in ("sentence", "option1", "option2", "answer")})
        else:
            first, second = doc["context_options"]
            sentence = "_ " + doc["continuation"]
            docs.append({"sentence": sentence, "option1": first, "option2": second, "answer": str(doc["gold"] + 1)})
    return docs


def arc(raw: list[Doc]) -> list[Doc]:
    """Return question, choices with their labels, and the label of the right one.

    Warns about records of llm-foundry's kind: where the original labels are numbers, their `gold` is one too high.
    """
    if raw and raw[0].keys() == {"query", "choices", "gold"}:
        warnings.warn(
            "ARC's `gold` is one too high in this form of the data where the original labels are numbers; "
            "prefer the hub's data set or the data wheel (docs/benchmarks.md)", stacklevel=2,
        )  # fmt: skip
    docs = []
    for doc in raw:
        if "answerKey" in doc:
            docs.append({name: doc[name] for name in ("question", "choices", "answerKey")})
            continue
        labels = [chr(ord("A") + place) for place in range(len(doc["choices"]))]
        question = doc["query"].removeprefix("Question: ").removesuffix("\nAnswer:")
        choices = {"text": doc["choices"], "label": labels}
        docs.append({"question": question, "choices": choices, "answerKey": labels[doc["gold"]]})
    return docs
