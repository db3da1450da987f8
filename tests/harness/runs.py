"""Real runs of tiny models in processes of their own, cheap to start: forked from one that has imported everything.

As a program it reads requests, one JSON object a line, forks a child for each, and says when that has ended. As a
module it holds `Runs`, the other end of that pipe.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

NAME = "gsm8k-mini"
BUDGET = 16


class Runs:
    """Starts runs in a process of their own, one at a time.

    Args:
        weights: as --weights.
    """

    def __init__(self, weights: Path) -> None:
        self.weights, self.running, self.said = weights, 0, Path()
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout

    def start(self, out: Path, *more: str, **how: Any) -> int:
        """Start `reproduce --table 1 --out OUT MORE` and return its process id; `how` as `_child` takes it.

        What it says goes to OUT.said.
        """
        if self.running:  # A test failed before it came to the end of its run.
            os.kill(self.running, signal.SIGKILL)
            self.wait()
        argv = ["--table", "1", "--models", "llama-mini", "--weights", str(self.weights), "--device", "cpu"]
        self.said = out.with_name(out.name + ".said")
        request = {"argv": [*argv, "--out", str(out), *more], "said": str(self.said), **how}
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()
        self.running = int(json.loads(self.answers.readline())["pid"])
        return self.running

    def wait(self) -> tuple[int, str]:
        """Wait for the run to end; returns its exit code (negative: the signal) and what it said on stderr."""
        code, self.running = int(json.loads(self.answers.readline())["code"]), 0
        return code, self.said.read_text(encoding="utf-8")

    def run(self, out: Path, *more: str, **how: Any) -> tuple[int, str]:
        """Start and wait."""
        self.start(out, *more, **how)
        return self.wait()

    def killed(self, out: Path, *more: str, after: float, by: int = signal.SIGKILL, **how: Any) -> tuple[int, str]:
        """Start, send a signal after so many seconds where it is still running, and wait."""
        pid = self.start(out, *more, **how)
        time.sleep(after)
        os.kill(pid, by)  # The id is its own even where it has ended: it is not reaped before the next request.
        return self.wait()

    def close(self) -> None:
        """End the process that forks."""
        self.requests.close()
        self.process.wait(timeout=60)


def _child(request: dict[str, Any]) -> int:
    """Run the command line: with `records_only` without timings and tables, with `file_bytes` as if the disk were full,
    with `uid` as that user."""
    from harness import reproduce, table1

    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if request.get("records_only"):
        table1.wallclock.measure_grid = lambda *_: 0  # type: ignore[assignment]
        table1.layout.write = lambda *_: ""  # type: ignore[assignment]
        table1.tables.table1 = table1.tables.pooled = lambda *_: None  # type: ignore[assignment]
    if "file_bytes" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    if "uid" in request and os.getuid() == 0:
        os.setuid(request["uid"])
    return reproduce.main(request["argv"])


def _serve() -> None:
    import torch
    from transformers import LlamaForCausalLM  # noqa: F401  # looked up by name, so imported on first use

    import harness.table1  # noqa: F401  # with all that it imports
    from harness import engine
    from harness.benchmarks import BENCHMARKS

    torch.set_num_threads(1)
    engine.DTYPE = "float64"  # Float32 rounds a batch of other rows otherwise, and a random model has near ties.
    BENCHMARKS[NAME] = replace(BENCHMARKS[NAME], max_new_tokens=BUDGET)
    BENCHMARKS[NAME].problems(60)
    pid = 0
    for line in sys.stdin:
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = _child(json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(json.dumps({"pid": pid}), flush=True)
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        print(json.dumps({"code": end.si_status if end.si_code == os.CLD_EXITED else -end.si_status}), flush=True)


if __name__ == "__main__":
    _serve()
