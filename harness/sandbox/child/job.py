"""Runs one untrusted source on its inputs, in a process of its own that a sandbox tier has started; judges nothing.

Reads the request (marshal, from our own parent) on standard input and reports on the original standard output, one JSON
line each: ["ready"], then ["value", v] for each input, then ["end", error]. The source may forge any line: nothing here
is secret, and the parent only ever compares values.
"""

from __future__ import annotations

import marshal
import os
import resource
import select
import sys
import time
from _json import encode_basestring_ascii as quote

TYPE_CHECKING = False  # As in typing, whose import would double the cost of a start.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DECIMAL_BITS = 14_000
"""Below the 4300 digits that Python converts to and from decimals."""

INFINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
SEQUENCES: tuple[tuple[str, Any], ...] = (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset))


def encode(value: Any) -> str:
    """Return a value of built-in types, or subclasses of them, as JSON with each container's kind in front.

    The base class's own methods read it, so that a class cannot run code here or pretend to be another value.

    Raises:
        TypeError: for a value of any other kind.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return whole_number(value)
    if isinstance(value, float):
        text = float.__repr__(value)
        return INFINITE.get(text, text)
    if isinstance(value, str):
        return quote(str.__str__(value))
    for name, kind in SEQUENCES:
        if isinstance(value, kind):
            return "[" + ", ".join([f'"{name}"', *map(encode, kind.__iter__(value))]) + "]"
    if isinstance(value, dict):
        pairs = [f"[{encode(key)}, {encode(dict.__getitem__(value, key))}]" for key in dict.__iter__(value)]
        return "[" + ", ".join(['"dict"', *pairs]) + "]"
    index = getattr(type(value), "__index__", None)  # NumPy's integers.
    if index is None:
        raise TypeError(f"a value of type {type(value).__name__} is no plain result")
    return whole_number(index(value))


def whole_number(value: int) -> str:
    """Return an integer as JSON; one with more digits than Python reads in decimals, as text in hexadecimals."""
    return f'["int", "{int.__format__(value, "x")}"]' if int.bit_length(value) > DECIMAL_BITS else int.__repr__(value)


def limit_resources(limits: dict[str, Any]) -> None:
    """Set hard limits on processor time and memory, and forbid core dumps."""
    for name, value in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (value, value))


def confine(limits: dict[str, Any], count_processes: bool) -> None:
    """Set the limits that would hinder our own code too: file size and, where they are counted apart, processes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_bytes"], limits["file_bytes"]))
    if count_processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"], limits["processes"]))


def new_module(name: str, prelude: str) -> dict[str, Any]:
    """Return the names of a fresh module that is registered under `name` and has run the prelude."""
    module = sys.modules[name] = type(sys)(name)
    exec(prelude, module.__dict__)
    return module.__dict__


def describe(problem: BaseException) -> str:
    """Return an exception as one short line; its own text may raise again."""
    name = type(problem).__name__
    try:
        return f"{name}: {problem}"[:300]
    except BaseException:
        return name


def call_function(request: dict[str, Any], report: Callable[[str], None]) -> None:
    """Define the source and report its entry point's result on each argument list; raises what the source raises."""
    confine(request["limits"], request["count_processes"])
    names = new_module("solution", request["prelude"])
    exec(compile(request["source"], "<solution>", "exec"), names)
    first, *rest = request["entry_point"].split(".")
    function = names[first]
    for name in rest:
        function = getattr(function() if isinstance(function, type) else function, name)
    for arguments in request["inputs"]:
        report(f'["value", {encode(function(*arguments))}]')


def run_program(request: dict[str, Any], report: Callable[[str], None]) -> None:
    """Report what the source prints on each text of standard input, each time in a fork; raises ChildFailed."""
    names = new_module("__main__", request["prelude"])
    names["exit"] = names["quit"] = sys.exit
    for text in request["inputs"]:
        status_reader, status_writer = os.pipe()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            become_program(request, names, text, writer, status_writer)
        os.close(writer)
        os.close(status_writer)
        printed = collect(reader, pid, request["limits"]["output_bytes"])
        _, status = os.waitpid(pid, 0)
        os.set_blocking(status_reader, False)
        error = read_now(status_reader).decode("utf-8", "replace")
        os.close(reader)
        os.close(status_reader)
        if printed is None:
            raise ChildFailed(f"more than {request['limits']['output_bytes']} bytes of output")
        if status and not error:
            error = f"stopped by signal {status & 127}" if status & 127 else f"exit status {status >> 8}"
        if error or (request["own_processes"] and left_behind()):
            raise ChildFailed(error or "the program left a process behind")
        report(f'["value", {quote(printed.decode("utf-8", "replace"))}]')


class ChildFailed(Exception):
    """A program ended with an error, said in its text."""


def collect(reader: int, pid: int, most: int) -> bytes | None:
    """Read what a process prints until it ends, whoever else holds the pipe; kill it past `most` bytes: None."""
    os.set_blocking(reader, False)
    watch = os.pidfd_open(pid)
    parts, size, alive = [], 0, True
    while alive and size <= most:
        alive = watch not in select.select([watch, reader], [], [])[0]
        part = read_now(reader)
        if alive and not part:  # The process closed its output.
            alive = watch not in select.select([watch], [], [])[0]
        parts.append(part)
        size += len(part)
    os.close(watch)
    if size > most:
        os.kill(pid, 9)
        return None
    return b"".join(parts)


def read_now(reader: int) -> bytes:
    """Read what a non-blocking pipe holds, up to a megabyte."""
    parts = []
    for _ in range(16):
        try:
            part = os.read(reader, 65536)
        except BlockingIOError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def left_behind() -> bool:
    """Tell whether any process but this one and number 1 lives in this process namespace, after a moment's grace."""
    for _ in range(50):
        try:
            os.kill(-1, 0)  # Signal 0 asks only.
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        time.sleep(0.01)
    return True


def become_program(request: dict[str, Any], names: dict[str, Any], text: str, writer: int, status_writer: int) -> None:
    """Run the source as the main program of this fork, with real standard streams, and end it; never returns."""
    stdin = os.memfd_create("stdin")
    with open(stdin, "wb", closefd=False) as stream:
        stream.write(text.encode("utf-8", "surrogatepass"))
    os.lseek(stdin, 0, 0)
    os.dup2(stdin, 0)
    os.dup2(writer, 1)
    os.closerange(3, status_writer)
    os.closerange(status_writer + 1, 256)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    confine(request["limits"], request["count_processes"])
    try:
        try:  # noqa: SIM105 (contextlib is a slow import)
            exec(compile(request["source"], "<solution>", "exec"), names)
        except SystemExit:  # A way to end a program.
            pass
        finish()
    except BaseException as problem:  # Whatever the program raises is its result.
        os.write(status_writer, describe(problem).encode("utf-8", "replace"))
    os._exit(0)


def finish() -> None:
    """Do what a program can tell from the interpreter's end: wait for threads, call exit functions, flush.

    The rest of that end only costs time.
    """
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    sys.stdout.flush()


def main(enter: Callable[[dict[str, Any]], None]) -> None:
    """Run the request: `enter` makes this process, or a fork that alone returns, a part of the sandbox."""
    request = marshal.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)

    def report(line: str) -> None:
        data = line.encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]

    enter(request)
    sys.path[:] = [*sys.path[1:], *request["packages"]]
    sys.setrecursionlimit(request["recursion_limit"])
    limit_resources(request["limits"])
    report('["ready"]')
    error = None
    try:
        (run_program if request["entry_point"] is None else call_function)(request, report)
    except ChildFailed as failed:
        error = str(failed)
    except BaseException as problem:  # Whatever the source raises is its result.
        error = describe(problem)
    report(f'["end", {"null" if error is None else quote(error)}]')
    os._exit(0)
