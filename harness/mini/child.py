"""Runs one untrusted program in a process of its own, started by execute.py with `python -I -S`.

Reads the Python literal (source, entry_point, inputs, limits) from standard input and writes the literal
(values, error) to the original standard output. For a function, inputs are argument lists and values its results; for a
program (entry_point None), inputs are texts for standard input and values what it printed.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from typing import Any

PLAIN = (int, float, bool, str, type(None))


class TooMuchOutput(Exception):
    """The program printed more than it may."""


class LimitedText(io.StringIO):
    """Text output that refuses to grow past a number of characters."""

    limit = 0

    def write(self, text: str) -> int:
        """Append text; raises TooMuchOutput past the limit."""
        if self.tell() + len(text) > self.limit:
            raise TooMuchOutput(f"more than {self.limit} characters of output")
        return super().write(text)


def is_plain(value: Any) -> bool:
    """Tell whether a value is made of built-in types alone, so that its repr can be read back; classes may lie."""
    kind = type(value)
    if kind in (list, tuple):
        return all(is_plain(item) for item in value)
    if kind is dict:
        return all(is_plain(item) for pair in value.items() for item in pair)
    return kind in PLAIN


def limit_resources(seconds: int, memory_bytes: int) -> None:
    """Set hard limits on processor time and memory, and forbid writing to files and dumping core."""
    for name, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (value, value))


def run_function(source: str, entry_point: str, inputs: list[list[Any]], values: list[Any]) -> None:
    """Append the function's result on each argument list to `values`; raises what the program raises."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<solution>", "exec"), names)
    function = names[entry_point]
    for arguments in inputs:
        value = function(*arguments)
        if not is_plain(value):
            raise TypeError(f"a value of type {type(value).__name__} is no plain result")
        values.append(value)


def run_program(source: str, inputs: list[str], values: list[str], limit: int) -> None:
    """Append what the program prints on each input text to `values`; raises what the program raises."""
    compiled = compile(source, "<solution>", "exec")
    names = {"__name__": "__main__", "exit": sys.exit, "quit": sys.exit}
    for text in inputs:
        printed = LimitedText()
        printed.limit = limit
        sys.stdin, sys.stdout = io.StringIO(text), printed
        try:
            exec(compiled, dict(names))
        except SystemExit:  # A way to end a program; contextlib would cost a slow import in every child.
            printed.flush()
        values.append(printed.getvalue())


def main() -> None:
    """Run the request on standard input and report what came of it."""
    source, entry_point, inputs, limits = eval(sys.stdin.read())
    report = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    sys.setrecursionlimit(2000)
    limit_resources(limits["cpu_seconds"], limits["memory_bytes"])
    values: list[Any] = []
    error = None
    try:
        if entry_point is None:
            run_program(source, inputs, values, limits["output_chars"])
        else:
            run_function(source, entry_point, inputs, values)
    except BaseException as problem:  # Whatever the program raises is its result.
        error = f"{type(problem).__name__}: {problem}"[:200]
    text = repr((values, error))
    report.write(text if len(text) <= limits["output_chars"] else repr(([], "TooMuchOutput: the results are too long")))
    report.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
