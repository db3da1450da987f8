"""The sandbox: values and errors, the limits, choosing a tier, and starts in parallel."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sandbox import TIERS, Job, Limits, choose, run, run_many, tiers, why_not
from harness.sandbox.child.job import encode
from harness.sandbox.run import _decode

LIMITS = Limits(test_seconds=4.0, wall_seconds=12.0, cpu_seconds=2, memory_bytes=256 * 1024**2, output_bytes=20_000)


@pytest.fixture(params=list(TIERS))
def tier(request: pytest.FixtureRequest) -> str:
    """Each tier that this machine can run."""
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)


def plain() -> st.SearchStrategy[object]:
    great = st.integers(12_000, 16_000).map(lambda bits: -(3**bits))  # Around Python's limit of 4300 digits.
    leaves = st.none() | st.booleans() | st.integers() | great | st.floats(allow_nan=False) | st.text()
    keys = st.integers() | st.text() | st.tuples(st.integers(), st.text())
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner) | st.sets(keys),
        max_leaves=12,
    )


@given(plain())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_values_come_back_as_they_were(value: object) -> None:
    import json

    back = _decode(json.loads(encode(value)))
    assert back == value and repr(type(back)) == repr(type(value))


def test_a_class_is_read_by_its_base_and_no_other_object_passes() -> None:
    class Liar(int):
        def __repr__(self) -> str:
            return "7"

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    class Pretender:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            return int

    assert encode(Liar(3)) == "3"
    assert encode([math.inf, float("nan")]) == '["list", Infinity, NaN]'
    for value in (Pretender(), object(), b"x"):
        with pytest.raises(TypeError):
            encode(value)


def test_functions_programs_and_methods(tier: str) -> None:
    function = Job(
        source="def f(a, b):\n    print('noise')\n    return a, [b]", entry_point="f", inputs=[[1, "x"], [2, None]]
    )
    outcome = run(function, tier)
    assert (outcome.values, outcome.error, outcome.tier) == ([(1, ["x"]), (2, [None])], None, tier)
    assert 0 < outcome.start_seconds < outcome.seconds
    method = "class Solution:\n    n = 0\n    def f(self, a):\n        self.n += a\n        return self.n"
    assert run(Job(source=method, entry_point="Solution.f", inputs=[[1], [2]]), tier).values == [1, 3]
    program = Job(
        source="import sys\nfor line in sys.stdin: print(int(line) + 1)\nsys.exit()", inputs=["1\n2\n", "5", ""]
    )
    assert (run(program, tier).values, run(program, tier).error) == (["2\n3\n", "6\n", ""], None)


def test_programs_use_real_streams_and_end_in_order(tier: str) -> None:
    source = (
        "import atexit, os, sys, threading, time\n"
        "data = os.read(0, 100) + sys.stdin.buffer.read()\n"
        "atexit.register(lambda: print('last'))\n"
        "def late():\n    time.sleep(0.05)\n    print('thread')\n"
        "threading.Thread(target=late).start()\n"
        "os.write(1, data)\n"
        "if __name__ == '__main__': print('é', 'seen' in globals())\n"
        "seen = 1\n"
    )
    assert run(Job(source=source, inputs=["ab\n", ""]), tier).values == [
        "ab\né False\nthread\nlast\n",
        "é False\nthread\nlast\n",
    ]


def test_a_value_that_is_not_accepted_ends_the_job(tier: str) -> None:
    source = "import time\ndef f(n):\n    time.sleep(30 if n > 1 else 0)\n    return n"
    job = Job(source=source, entry_point="f", inputs=[[0], [1], [2]], accept=lambda index, value: value < 1)
    outcome = run(job, tier)
    assert (outcome.values, outcome.error) == ([0, 1], None) and outcome.seconds < 10


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("while True: pass", "no report|timeout"),
        ("return 'a' * 10**9", "MemoryError"),
        ("return f(n)", "RecursionError"),
        ("return list(range(10**5))", "bytes of output"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os; os._exit(0)", "no report"),
        ("import os; os.kill(os.getpid(), 9)", "no report"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("return object()", "TypeError"),
        ("return )", "SyntaxError"),
        ("return input()", "EOFError"),
        ("return g(n)", "NameError"),
        ("class E(Exception):\n        def __str__(self): raise self\n    raise E", "E"),
    ],
)
def test_misbehaving_functions_end_with_an_error(body: str, error: str) -> None:
    outcome = run(Job(source=f"def f(n):\n    {body}\n", entry_point="f", inputs=[[1]], limits=LIMITS), "limits")
    assert outcome.error is not None and any(part in outcome.error for part in error.split("|"))
    assert outcome.values == []


def test_a_missing_function_and_a_failing_program_are_errors() -> None:
    assert "KeyError" in str(run(Job(source="x = 1", entry_point="f", inputs=[[]]), "limits").error)
    outcome = run(Job(source="print(1 // int(input()))", inputs=["1", "0", "1"]), "limits")
    assert outcome.values == ["1\n"] and "ZeroDivisionError" in str(outcome.error)
    assert "exit status 3" in str(run(Job(source="import os; os._exit(3)", inputs=[""]), "limits").error)
    assert "signal 9" in str(run(Job(source="import os; os.kill(os.getpid(), 9)", inputs=[""]), "limits").error)


def test_time_limits_for_one_input_and_for_all() -> None:
    slow = Job(source="import time\ntime.sleep(0.4)\nprint(1)", inputs=[""] * 20, limits=Limits(wall_seconds=1.0))
    outcome = run(slow, "limits")
    assert outcome.error == "timeout: more than 1 s" and 1 <= len(outcome.values) <= 2
    stuck = Job(
        source="def f(n):\n    while n: pass", entry_point="f", inputs=[[0], [1]], limits=Limits(test_seconds=0.5)
    )
    outcome = run(stuck, "limits")
    assert (outcome.values, outcome.error) == ([None], "timeout: more than 0.5 s for input 1")
    assert outcome.seconds < 10


def test_many_jobs_run_side_by_side_and_keep_their_order(tier: str) -> None:
    jobs = [Job(source=f"import time\ntime.sleep(0.5)\nprint({n})", inputs=[""]) for n in range(6)]
    start = time.monotonic()
    assert [outcome.values for outcome in run_many(jobs, tier, workers=6)] == [[f"{n}\n"] for n in range(6)]
    assert time.monotonic() - start < 2.5


def test_packages_are_there_only_where_asked_for(tier: str) -> None:
    job = Job(
        source="import numpy\nprint(numpy.int64(3))", inputs=[""], limits=Limits(memory_bytes=4 << 30, cpu_seconds=20)
    )
    assert "ModuleNotFoundError" in str(run(job, tier).error)
    with_packages = Job(source=job.source, inputs=[""], limits=job.limits, packages=True)
    assert run(with_packages, tier).values == ["3\n"]


def test_the_strongest_tier_is_chosen_and_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: dict[str, str | None] = {"bubblewrap": None, "unshare": None, "limits": None}
    monkeypatch.setattr(tiers, "why_not", lambda tier: reasons[tier])
    assert choose() == "bubblewrap"
    reasons["bubblewrap"] = "bwrap is not installed"
    assert choose() == "unshare"
    reasons["unshare"] = "unshare: Operation not permitted"
    assert choose(allow_unsandboxed=True) == "limits"
    with pytest.raises(ValueError, match="bwrap is not installed.*not permitted.*--allow-unsandboxed"):
        choose()


def test_bubblewrap_is_found_wherever_the_path_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job itself starts with no environment, so the command must hold the whole path."""
    own = tmp_path / "bwrap"
    own.write_text("#!/bin/sh\necho '[\"ready\"]'; echo '[\"value\", \"from there\"]'; echo '[\"end\", null]'\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run(Job(source="", inputs=[""]), "bubblewrap").values == ["from there"]


def test_a_tier_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiers.TIERS, "unshare", lambda job: ["/nowhere/python"])
    assert "did not start" in str(run(Job(source="", inputs=[""]), "unshare").error)
    monkeypatch.setitem(tiers.TIERS, "unshare", lambda job: ["ls", "/nowhere"])
    assert "No such file" in str(run(Job(source="", inputs=[""]), "unshare").error)
    with pytest.raises(ValueError, match="no sandbox tier named 'jail'"):
        run(Job(source="", inputs=[""]), "jail")


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="cpu_seconds = 0"):
        Limits(cpu_seconds=0)
    with pytest.raises(ValueError, match="workers = 0"):
        run_many([], "limits", workers=0)


def test_nothing_of_the_environment_reaches_a_program(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    outcome = run(Job(source="import os\nprint(sorted(set(os.environ) - {'LC_CTYPE', 'PWD'}))", inputs=[""]), tier)
    assert outcome.values == ["[]\n"] and os.environ["SECRET_TOKEN"] == "hunter2"
