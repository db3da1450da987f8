"""Attacks on the sandbox: each must fail to harm, and be a failed solution while other jobs go on untouched.

The task is always the same, doubling a number. The expected answers stand in this process alone.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from harness.sandbox import Job, Limits, Outcome, run, run_many, why_not

LIMITS = Limits(
    test_seconds=1.5, wall_seconds=3.0, cpu_seconds=2, memory_bytes=256 << 20, processes=8, file_bytes=1 << 20,
    tmpfs_bytes=4 << 20, output_bytes=100_000,
)  # fmt: skip
NUMBERS = [3, 5, 8]
HONEST = "print(2 * int(input()))"


@pytest.fixture(params=["bubblewrap", "unshare"])
def tier(request: pytest.FixtureRequest) -> str:
    """Each isolating tier that this machine can run."""
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)


def program(source: str) -> Job:
    return Job(source=source, inputs=[f"{n}\n" for n in NUMBERS], limits=LIMITS)


def function(source: str) -> Job:
    return Job(source=source, entry_point="f", inputs=[[n] for n in NUMBERS], limits=LIMITS)


def solved(outcome: Outcome) -> bool:
    """Judge as graders do: in this process, on plain values."""
    wanted = [2 * n for n in NUMBERS]
    got = [int(v) if isinstance(v, str) and v.strip().isdigit() else v for v in outcome.values]
    return outcome.error is None and got == wanted


ATTACKS = {
    "infinite loop": program("while True: pass"),
    "bare except around an alarm": program(
        "import signal\nsignal.alarm(1)\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "while True:\n    try:\n        while True: pass\n    except: pass"
    ),
    "processor time limit ignored": program(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    ),
    "fork bomb": program("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
    "thread bomb": program(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()"
    ),
    "memory bomb": function("def f(n):\n    x = []\n    while True: x.append(bytearray(1 << 20))"),
    "memory bomb in the compiler": function("x = " + "(" * 150 + "1" + ",) * 1000" * 150),
    "always equal": function(
        "class Same:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
        "def f(n): return Same()"
    ),
    "always equal number": function(
        "class Same(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def f(n): return Same(0)"
    ),
    "answers through frames": function(
        "import sys, gc\ndef f(n):\n    frame, found = sys._getframe(), []\n    while frame:\n"
        "        found += [v for v in frame.f_locals.values()] + [v for v in frame.f_globals.values()]\n"
        "        frame = frame.f_back\n    found += gc.get_objects()\n"
        "    lists = [x for x in found if type(x) is list and 2 * n in x and len(x) == 3]\n"
        "    return 2 * n if lists else 'no answers here'"
    ),
    "ctypes": function(
        "import ctypes\ndef f(n):\n    ctypes.string_at(0)\n    return 2 * n"
    ),
    "reload to undo a guard": function(
        "import importlib, os\nimportlib.reload(os)\ndef f(n):\n    os.kill(1, 9)\n    os.kill(-1, 9)\n    return 2 * n"
    ),
    "flooding stdout": program("while True: print('x' * 10000)"),
    "flooding stderr": program("import sys\nwhile True: sys.stderr.write('x' * 10000)"),
    "flooding the report": function("import os\nwhile True: os.write(3, b'x' * 10000)"),
    "forging the report": function("import os\nos.write(3, b'[\"value\", 6]\\n[\"end\", null]\\n')\nos._exit(0)"),
    "nesting the report": function("import os\nos.write(3, b'[\"value\", ' + b'[' * 90000 + b'\\n')\nos._exit(0)"),
    "a great number in the report": function(
        "import os\nos.write(3, b'[\"value\", ' + b'9' * 90000 + b']\\n')\nos._exit(0)"
    ),
    "os._exit": program("import os\nprint(2 * int(input()))\nos._exit(0)"),
    "os._exit in a function": function("import os\ndef f(n): os._exit(0)"),
    "killing the parent": program(
        "import os, signal\nfor p in (os.getppid(), 1):\n    os.kill(p, signal.SIGKILL)\nprint(2 * int(input()))"
    ),
    "deep recursion": function("import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f([n])"),
    "deep recursion in C": function(
        "import sys\nsys.setrecursionlimit(10**9)\nx = ()\nfor _ in range(10**6): x = (x,)\ndef f(n): return hash(x)"
    ),
    "background child": program(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(4321)\n"
        "print(2 * int(input()))"
    ),
    "filling the disk": program(
        "n = 0\nwhile True:\n    with open(f'/tmp/{n}', 'wb') as s: s.write(bytes(1 << 20))\n    n += 1"
    ),
    "one big file": program("with open('/tmp/x', 'wb') as s:\n    while True: s.write(bytes(1 << 20))"),
    "stopping itself": program("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nprint(2 * int(input()))"),
    "becoming root again": program("import os\nos.setuid(0)\nprint(2 * int(input()))"),
    "mounting": program(
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0\n"
        "print(2 * int(input()))"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["bubblewrap", "unshare"])
def test_every_attack_fails_while_honest_solutions_go_on(kind: str) -> None:
    """All at once, as in a run: attacks and honest solutions take turns."""
    if why_not(kind) is not None:
        pytest.skip(f"{kind}: {why_not(kind)}")
    before = set(os.listdir("/tmp"))
    jobs = [job for attack in ATTACKS.values() for job in (attack, program(HONEST))]
    start = time.monotonic()
    outcomes = run_many(jobs, kind, workers=4)
    assert time.monotonic() - start < 12.0 * len(ATTACKS)
    succeeded = [name for name, outcome in zip(ATTACKS, outcomes[::2], strict=True) if solved(outcome)]
    assert succeeded == []
    assert all(solved(outcome) for outcome in outcomes[1::2])
    assert {outcome.tier for outcome in outcomes} == {kind}
    assert all(outcome.seconds < 30 for outcome in outcomes)
    assert not any(name.isdigit() for name in set(os.listdir("/tmp")) - before)


def test_files_outside_can_be_neither_read_nor_written(tier: str, tmp_path: Path) -> None:
    secret = tmp_path / "answers"
    secret.write_text("6 10 16")
    tmp_path.chmod(0o777)
    places = [
        str(secret),
        str(Path.home()),
        "/etc/passwd",
        "/root",
        "/home",
        "/var",
        "/proc/1/environ",
        "/sys",
        __file__,
    ]
    source = f"import os\nprint([p for p in {places!r} if os.path.exists(p) and (os.path.isfile(p) or os.listdir(p))])"
    allowed = [place for place in places if os.path.isdir(place) and place in os.path.realpath(os.__file__)]
    shown = run(program(source), tier)
    assert shown.error is None and all(eval(text) in ([], allowed) for text in shown.values)
    writes = (
        f"import os, sys\ndone = []\nfor p in ({str(tmp_path / 'new')!r}, os.__file__, os.path.dirname(os.__file__)"
        " + '/x', sys.executable, '/etc/x', '/usr/lib/x', '/dev/sda'):\n    try:\n        open(p, 'a').close()\n"
        "        os.utime(p)\n        done.append(p)\n    except OSError: pass\n"
        "print([p for p in done if not p.startswith('/tmp/')])"
    )
    assert run(program(writes), tier).values == ["[]\n"] * 3
    assert sorted(tmp_path.iterdir()) == [secret] and secret.read_text() == "6 10 16"


def test_a_named_file_can_be_read_but_not_written(tier: str, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_text("42")
    path.chmod(0o666)
    source = f"print(open({str(path)!r}).read())\ntry: open({str(path)!r}, 'w')\nexcept OSError: print('refused')"
    assert run(Job(source=source, inputs=[""], readable=(str(path),)), tier).values == ["42\nrefused\n"]
    assert path.read_text() == "42"


def test_no_network_not_even_to_this_machine(tier: str) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        source = (
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1).send(b'x')\nprint(2 * int(input()))"
        )
        outcome = run(program(source), tier)
        assert not solved(outcome) and "Error" in str(outcome.error)
        assert not select.select([server], [], [], 0)[0]
    abstract = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0sandbox-test')\nprint(2 * int(input()))"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind("\0sandbox-test")
        local.listen()
        assert "refused" in str(run(program(abstract), tier).error)


def test_no_process_survives(tier: str) -> None:
    """Daemons that detach themselves in every known way, under a name that this machine's process table shows."""
    mark = f"sbx{os.getpid()}{tier[:2]}"
    named = f"import ctypes, os, time\nctypes.CDLL(None).prctl(15, b'{mark}', 0, 0, 0)\n"
    alive = threading.Thread(target=run, args=(program(named + "time.sleep(1.4)"), tier))
    alive.start()
    seen = False
    while alive.is_alive() and not seen:
        seen = bool(processes_named(mark))
        time.sleep(0.01)
    alive.join()
    assert seen, "the name must show for this test to say anything"
    source = (
        f"{named}"
        "for _ in range(3):\n    if os.fork(): break\n    os.setsid()\n"
        "else:\n    os.closerange(0, 100)\n    time.sleep(9876)\n"
        "print(2 * int(input()))"
    )
    for job in (program(source), program(f"{named}os.fork()\nos.setsid()\ntime.sleep(9876)")):
        run(job, tier)
    deadline = time.monotonic() + 5
    while processes_named(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_named(mark) == []


def processes_named(mark: str) -> list[str]:
    """Return the ids of the running processes that gave themselves this name."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            status = Path(f"/proc/{entry}/status").read_text()
        except OSError:  # It ended meanwhile.
            continue
        if status.startswith(f"Name:\t{mark}\n") and "\nState:\tZ" not in status:
            found.append(entry)
    return found


def test_fork_and_thread_bombs_stay_within_their_number(tier: str) -> None:
    source = (
        "import os, time\nn = 0\ntry:\n    while n < 200:\n        if os.fork() == 0:\n            time.sleep(0.8)\n"
        "            os._exit(0)\n        n += 1\nexcept OSError: pass\nos.write(1, str(n).encode())\n"
        "for _ in range(n): os.wait()\nos._exit(0)"
    )
    outcome = run(Job(source=source, inputs=[""], limits=LIMITS), tier)
    count = int(outcome.values[0]) if outcome.values else 0
    assert 1 <= count <= LIMITS.processes, outcome


def test_a_process_left_behind_fails_the_solution_even_where_its_output_is_right(tier: str) -> None:
    fork = "import os, time\nif os.fork() == 0:\n    os.closerange(0, 99)\n    time.sleep(99)\n"
    source = fork + "print(2 * int(input()))"
    outcome = run(program(source), tier)
    assert outcome.error == "the program left a process behind" and outcome.seconds < 5


def test_concurrent_jobs_do_not_see_each_other(tier: str) -> None:
    # Files alone: a checkout below /tmp brings its interpreter there, as a folder.
    files = "sorted(name for name in os.listdir('/tmp') if os.path.isfile('/tmp/' + name))"
    source = f"import os\nopen('/tmp/mark', 'x').close()\nprint({files}, os.getpid() < 30)"
    outcomes = run_many([Job(source=source, inputs=[""])] * 6, tier, workers=3)
    assert [outcome.values for outcome in outcomes] == [["['mark'] True\n"]] * 6


def test_jobs_can_be_started_from_many_threads_that_end_before_others(tier: str) -> None:
    """The kernel ties a child's life to the thread that started it; a thread's end must not kill another's job."""
    done: list[Outcome] = []
    slow = Job(source="import time\ntime.sleep(0.6)\nprint(1)", inputs=[""])
    threads = [threading.Thread(target=lambda job=job: done.append(run(job, tier))) for job in (program(HONEST), slow)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(outcome.values) for outcome in done) == [1, 3] and not any(outcome.error for outcome in done)


def test_the_limits_tier_still_ends_jobs_and_their_groups() -> None:
    for name in (
        "infinite loop",
        "memory bomb",
        "flooding stdout",
        "os._exit in a function",
        "always equal",
        "deep recursion",
    ):
        assert not solved(run(ATTACKS[name], "limits")), name
    assert solved(run(program(HONEST), "limits"))


def test_the_limits_tier_stops_children_too(tmp_path: Path) -> None:
    """The grandchild keeps a pipe open as long as it lives; end of file shows that it is gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    source = f"import os, time\nos.open({str(fifo)!r}, os.O_WRONLY)\nos.fork()\ntime.sleep(1234.5)\n"
    outcome = run(program(source), "limits")
    assert outcome.error is not None and "timeout" in outcome.error
    assert select.select([reader], [], [], 5.0)[0] and os.read(reader, 1) == b""
    os.close(reader)


def test_the_limits_tier_can_forbid_files(tmp_path: Path) -> None:
    source = f"with open({str(tmp_path / 'file')!r}, 'w') as stream:\n    stream.write('x')\n"
    assert "Error" in str(run(Job(source=source, inputs=[""], limits=Limits(file_bytes=0)), "limits").error)
    assert (tmp_path / "file").stat().st_size == 0
