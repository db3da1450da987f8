"""LiveCodeBench: loading, safe decoding, prompts, extraction, grading of hand-made problems of each kind, pass@k."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pickle
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness.livecodebench import (
    RELEASES,
    SELECTIONS,
    Problem,
    Selection,
    base_prompt,
    chat_messages,
    extract_code,
    grade,
    grade_many,
    load,
    pass_at_k,
    summarise,
)
from harness.livecodebench.grading import same_result, same_text
from harness.livecodebench.problems import decode_private
from harness.sandbox import choose, why_not

TIER = choose(allow_unsandboxed=True)


def packed(cases: Any) -> str:
    """Pack tests as the official files do."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def raw(
    number: int, *, function: str | None = None, public: Any = (), private: Any = (), date: str = "2025-01-05",
    difficulty: str = "easy", platform: str = "atcoder", starter: str = "",
) -> dict[str, Any]:  # fmt: skip
    kind = "functional" if function else "stdin"
    tests = [[{"input": i, "output": o, "testtype": kind} for i, o in cases] for cases in (public, private)]
    return {
        "question_title": f"T{number}", "question_content": f"Solve {number}.", "platform": platform,
        "question_id": f"q{number:03}", "contest_id": "c", "contest_date": f"{date}T00:00:00", "starter_code": starter,
        "difficulty": difficulty, "public_test_cases": json.dumps(tests[0]), "private_test_cases": packed(tests[1]),
        "metadata": json.dumps({"func_name": function} if function else {}),
    }  # fmt: skip


STARTER = "class Solution:\n    def pairUp(self, nums: List[int], k: int) -> List[List[int]]:\n        "
SUMS = raw(1, public=[("2\n1 2\n", "3\n")], private=[("3\n1 2 3\n", "6"), ("1\n-5\n", "-5")])
PAIRS = raw(
    2, function="pairUp", starter=STARTER, platform="leetcode", difficulty="hard",
    public=[("[3, 1, 2]\n1", "[[1, 2], [2, 3]]")], private=[("[]\n4", "[]"), ("[5, 1]\n4", "[[1, 5]]")],
)  # fmt: skip
FLOATS = raw(3, difficulty="medium", public=[("10 4\n", "2.50 YES\n1e1\n")], private=[("1 8", "0.125 YES\n1\n")])


def write(folder: Path, **files: list[dict[str, Any]]) -> Path:
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def problems(tmp_path: Path) -> list[Problem]:
    return load(Selection(version="v1"), write(tmp_path, test=[FLOATS, SUMS, PAIRS]))


def test_problems_come_in_order_and_their_tests_on_demand(problems: list[Problem]) -> None:
    assert [problem.question_id for problem in problems] == ["q001", "q002", "q003"]
    assert [(t.input, t.output, t.testtype) for t in problems[0].tests()] == [
        ("2\n1 2\n", "3\n", "stdin"), ("3\n1 2 3\n", "6", "stdin"), ("1\n-5\n", "-5", "stdin"),
    ]  # fmt: skip
    assert problems[1].func_name == "pairUp" and problems[1].tests()[0].testtype == "functional"
    assert problems[0].contest_date == datetime(2025, 1, 5)


def test_versions_name_files_and_windows_cut(tmp_path: Path) -> None:
    names = ["test", "test2", "test3", "test4", "test5", "test6"]
    dates = ["2023-05-07", "2024-07-31", "2024-08-01", "2025-05-01", "2025-05-02", "2025-01-01"]
    files = {name: [raw(n, date=date)] for n, (name, date) in enumerate(zip(names, dates, strict=True))}
    folder = write(tmp_path, **files)

    def ids(**how: Any) -> list[str]:
        return [problem.question_id for problem in load(Selection(**how), folder)]

    assert ids(version="release_v1") == ["q000"] and ids(version="release_v3") == ["q000", "q001", "q002"]
    assert ids(version="v4") == ["q003"] and ids(version="v2_v4") == ["q001", "q002", "q003"]
    assert ids(version="release_latest") == ids(version="release_v6") == [f"q00{n}" for n in range(6)]
    paper = SELECTIONS["paper"]
    assert ids(version=paper.version, start=paper.start, end=paper.end) == ["q002", "q003", "q005"]
    assert paper.size == 454
    with pytest.raises(ValueError, match="3 problems where release_v6 with this window has 454"):
        load(paper, folder)
    for version in ("release_v7", "v0", "v5_v2", "latest"):
        with pytest.raises(ValueError, match="no LiveCodeBench version"):
            Selection(version=version)
    with pytest.raises(ValueError, match="lies after"):
        Selection(start=datetime(2025, 1, 2), end=datetime(2025, 1, 1))


def test_a_folder_laid_out_as_the_official_one(tmp_path: Path) -> None:
    """Six files as long as the hub's, of made-up problems, 454 of them inside the paper's dates."""
    sizes = {"test": 400, "test2": 111, "test3": 101, "test4": 101, "test5": 167, "test6": 175}
    number = itertools.count()
    files = {
        name: [raw(next(number), public=[("1", "2")], private=[("3", "4")]) for _ in range(size)]
        for name, size in sizes.items()
    }  # fmt: skip
    for place, line in enumerate(itertools.chain(*files.values())):
        days = ("2024-08-01", "2025-05-01") if place < 454 else ("2024-07-31", "2025-05-02")
        line["contest_date"] = f"{days[place % 2]}T00:00:00"
    folder = write(tmp_path, **files)
    for version, count in RELEASES.items():
        assert len(load(SELECTIONS[version], folder)) == count == len(load(Selection(version=version), folder))
    chosen = load(SELECTIONS["paper"], folder)
    assert len(chosen) == 454
    assert {problem.contest_date for problem in chosen} == {datetime(2024, 8, 1), datetime(2025, 5, 1)}
    assert [(test.input, test.output) for test in chosen[-1].tests()] == [("1", "2"), ("3", "4")]
    files["test6"].pop()
    with pytest.raises(ValueError, match="1054 problems where release_v6 with this window has 1055"):
        load(SELECTIONS["release_v6"], write(tmp_path, test6=files["test6"]))


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no test.jsonl"):
        load(Selection(version="v1"), tmp_path)
    (tmp_path / "test.jsonl").write_text(json.dumps(SUMS) + "\n{}\n")
    with pytest.raises(ValueError, match="line 2 is no LiveCodeBench problem"):
        load(Selection(version="v1"), tmp_path)
    (empty,) = load(Selection(version="v2"), write(tmp_path, test2=[raw(9)]))
    with pytest.raises(ValueError, match="q009 has no tests"):
        empty.tests()


class Evil:
    """A pickle of this runs a command when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_private_tests_are_decoded_without_running_anything(tmp_path: Path) -> None:
    cases = [{"input": "1", "output": "é\n", "testtype": "stdin"}]
    assert decode_private(packed(cases)) == decode_private(json.dumps(cases)) == cases
    target = tmp_path / "owned"
    evil = base64.b64encode(zlib.compress(pickle.dumps(Evil(str(target))))).decode()
    with pytest.raises(ValueError, match="the pickle asks for .*mkdir"):
        decode_private(evil)
    assert not target.exists()
    pickle.loads(zlib.decompress(base64.b64decode(evil)))
    assert target.exists()  # The pickle would have done it.
    number = base64.b64encode(zlib.compress(pickle.dumps(7))).decode()
    cut = packed(cases)[:40]
    for text, reason in (
        (number, "a int where text"),
        (cut, "cannot be decoded"),
        ("?", "cannot be decoded"),
        ("", "decoded"),
    ):
        with pytest.raises(ValueError, match=reason):
            decode_private(text)


def test_a_zip_bomb_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.livecodebench.problems.MOST_BYTES", 10_000)
    bomb = base64.b64encode(zlib.compress(pickle.dumps("[" + " " * 10**6 + "]"))).decode()
    with pytest.raises(ValueError, match="more than 10000 bytes"):
        decode_private(bomb)


def test_prompts(problems: list[Problem]) -> None:
    system, user = chat_messages(problems[0])
    assert (system["role"], user["role"]) == ("system", "user") and "expert Python programmer" in system["content"]
    assert user["content"].startswith("### Question:\nSolve 1.\n\n### Format: Read the inputs from stdin")
    assert user["content"].endswith(
        "```python\n# YOUR CODE HERE\n```\n\n### Answer: (use the provided format with backticks)\n\n"
    )
    assert f"```python\n{STARTER}\n```" in chat_messages(problems[1])[1]["content"]
    stdin, function = base_prompt(problems[0]), base_prompt(problems[1])
    assert stdin.endswith("### Question\nSolve 1.\n\n### Answer\n\n") and "### Starter Code" not in stdin
    assert function.endswith(f"### Question\nSolve 2.\n\n### Starter Code\n{STARTER}\n\n### Answer\n\n")
    assert stdin.count("### Answer") == function.count("### Answer") == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here:\n```python\nprint(1)\n```\n", "print(1)"),
        ("```\na\n```\nBetter:\n```python\nb\nc\n```\nDone.", "b\nc"),
        ("```python\nunfinished", ""),
        ("no code", ""),
        ("```python\nx\n```\n```", ""),
        ("  ```py\n  x\n  ``` and more", "  x"),
    ],
)
def test_code_is_what_stands_between_the_last_two_fences(text: str, code: str) -> None:
    assert extract_code(text) == code


def test_a_base_models_whole_text_is_code() -> None:
    assert extract_code("\nprint(1)\n\n", chat=False) == "print(1)"


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("3", "3\n", True),
        ("  3  \n\n", "3", True),
        ("1 2\n3 4", "1 2 \n 3 4\n", True),
        ("1  2", "1 2", True),
        ("0.50 1e2", "0.5 100", True),
        ("0.5000001", "0.5", False),
        ("50000000000000001", "50000000000000000", False),
        ("yes", "YES", False),
        ("a  b", "a b", False),
        ("1\n2", "1 2", False),
        ("1\n\n2", "1\n2", False),
        ("1", "1\n1", False),
        ("nan", "nan", True),
        ("nan 1", "nan 1.0", False),
        ("snan", "1", False),
        ("", "", True),
        (7, "7", False),
    ],
)
def test_the_rules_for_printed_text(printed: Any, expected: str, same: bool) -> None:
    assert same_text(printed, expected) is same


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        ([1, 2], "[1, 2]", True), ((1, 2), "[1, 2]", True), ([(1, 2)], "[[1, 2]]", False), (2.0, "2", True),
        (0.1 + 0.2, "0.3", False), (True, "true", True), (1, "true", True), ("a", '"a"', True), (None, "null", True),
        ({1, 2}, "[1, 2]", False), ({"a": 1}, '{"a": 1}', True), ({1: 1}, '{"1": 1}', False),
    ],
)  # fmt: skip
def test_the_rules_for_results(value: Any, expected: str, same: bool) -> None:
    assert same_result(value, expected) is same


READ = "n = int(input())\nnums = list(map(int, input().split()))\n"
TWO = "a, b = map(int, input().split())\n"
MAIN = "if __name__ == '__main__':\n    main()"
EQUAL = "class E(list):\n    __eq__ = lambda s, o: True\n"
PAIR = STARTER + "nums.sort()\n        return [(a, b) for a, b in zip(nums, nums[1:])]"
SOLUTIONS = [
    (0, READ + "print(sum(nums))", None),
    (0, "import sys\nprint(sum(map(int, sys.stdin.read().split()[1:])))", None),
    (0, f"def main():\n    input()\n    print(reduce(add, map(int, input().split())))\n{MAIN}", None),
    (0, "from __future__ import annotations\n" + READ + "print(sum(nums), flush=True)\nsys.exit(1)", None),
    (0, READ + "print(sum(nums) if n < 3 else 0)", "wrong answer in test 1"),
    (0, READ + "print(nums[n])", "IndexError"),
    (0, "print(open('/etc/hostname').read() and 3", "SyntaxError"),
    (0, READ + "print(sum(nums))\nimport os\nos.abort()", "signal 6"),
    (1, PAIR.replace("(a, b)", "[a, b]", 1), None),
    (1, PAIR.replace("[(a, b) for", "tuple([a, b] for").replace("[1:])]", "[1:]))"), None),
    (1, "def pairUp(nums, k):\n    nums = sorted(nums)\n    return list(map(list, pairwise(nums)))", None),
    (1, PAIR, "wrong answer in test 0"),
    (1, STARTER + "return Solution", "TypeError"),
    (1, "class Solution:\n    pass", "AttributeError"),
    (1, EQUAL + "class Solution:\n    pairUp = lambda s, a, b: E()", "wrong answer"),
    (2, TWO + "print(a / b, 'YES')\nprint(Decimal(10) if a > 9 else '1.0')", "NameError"),
    (2, TWO + "print(a / b, 'YES')\nprint(10 if a > 9 else '1.0')", "wrong answer in test 0"),
    (2, TWO + "print(f'{a / b:.2f}' if b < 5 else a / b, 'YES')\nprint(10 if a > 9 else '1.0')", None),
]  # fmt: skip


def test_solutions_of_each_kind(problems: list[Problem]) -> None:
    scores = grade_many([(problems[index], code) for index, code, _ in SOLUTIONS], TIER, workers=3)
    for (_, code, error), score in zip(SOLUTIONS, scores, strict=True):
        assert score.correct == (error is None), (code, score.error)
        assert (score.extracted, score.sandbox) == (code, TIER)
        assert error is None or error in str(score.error), (code, score.error)


def test_hostile_solutions_are_wrong_and_the_run_goes_on(problems: list[Problem]) -> None:
    hostile = [
        "import os, sys\nos.write(1, b'3')\nos.kill(os.getppid(), 9)",
        "import signal\nwhile True:\n    try:\n        while True: pass\n    except: pass",
        "import gc\nprint(3 if any('3\\n' == o for o in gc.get_objects()) else 0)",
    ]
    if why_not(TIER) is None and TIER == "limits":
        pytest.skip("no isolating tier runs here")
    scores = [grade(problems[0], code, TIER, test_seconds=1.5) for code in hostile]
    assert not any(score.correct for score in scores)
    assert "timeout" in str(scores[1].error) or "signal" in str(scores[1].error)
    assert grade(problems[0], SOLUTIONS[0][1], TIER).correct
    none = grade(problems[0], " ", TIER)
    assert not none.correct and none.extracted is None and none.sandbox is None


def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample() -> None:
    for samples, correct, k in itertools.product(range(1, 7), range(7), range(1, 7)):
        if correct > samples or k > samples:
            continue
        right = [True] * correct + [False] * (samples - correct)
        subsets = list(itertools.combinations(right, k))
        assert pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)
    for numbers in ((2, 3, 1), (2, 1, 3), (2, 1, 0)):
        with pytest.raises(ValueError, match="pass@"):
            pass_at_k(*numbers)


def test_the_summary_counts_by_difficulty_and_platform(problems: list[Problem]) -> None:
    frame = summarise(problems, {"q001": [True], "q002": [False], "q003": [True]}).set_index(["group", "value"])
    assert frame.loc[("all", "all"), "pass@1"] == pytest.approx(2 / 3)
    assert frame.loc[("platform", "atcoder"), ["problems", "pass@1"]].tolist() == [2, 1.0]
    assert frame.loc[("difficulty", "hard"), "pass@1"] == 0.0
    assert frame.loc[("all", "all"), "low"] < 2 / 3 < frame.loc[("all", "all"), "high"]
    many = summarise(problems, {p.question_id: [True, False] for p in problems}, ks=(1, 2))
    assert many["pass@1"].tolist() == [0.5] * len(many) and many["pass@2"].tolist() == [1.0] * len(many)
    assert "low" not in many
    with pytest.raises(ValueError, match="no results for 2 problems"):
        summarise(problems, {"q001": [True]})
