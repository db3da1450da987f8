"""One writer for each file: a lock beside it that dies with its process and says who holds it; knows nothing of records.

The lock is the kernel's (flock, through the filelock library), so a process that is killed leaves none behind, only a
file PATH.lock that the next writer takes over.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import weakref
from pathlib import Path

from filelock import FileLock, Timeout


class Lock:
    """The right to write a file.

    Args:
        path: the file; the lock stands beside it as PATH.lock while it is held.
        wait_seconds: how long to wait for another holder.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
        self.path, self._beside = path, path.with_name(path.name + ".lock")
        self._lock = FileLock(self._beside, timeout=wait_seconds, is_singleton=False, thread_local=False)
        self._finalizer = weakref.finalize(self, _release, self._lock, self._beside, os.getpid())

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock.is_locked

    def take(self) -> None:
        """Take the lock; making the folder first where it is not there.

        Raises:
            ValueError: where another process (or another object of this one) holds it; says who.
            OSError: where the folder cannot be written.
        """
        if self.held:
            return
        self._beside.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"{str(self.path)!r} is being written by {_holder(self._beside)}; wait for it, or choose another "
                "folder with --out"
            ) from None
        who = {"pid": os.getpid(), "host": socket.gethostname(), "command": _command()}
        self._beside.write_text(json.dumps(who), encoding="utf-8")

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self.held:
            _release(self._lock, self._beside, os.getpid())

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _release(lock: FileLock, beside: Path, process: int) -> None:
    """Remove the file while the lock is still held: who waits for it looks whether it is still the one in place.

    A process that was forked from the holder leaves it alone.
    """
    if lock.is_locked and os.getpid() == process:
        beside.unlink(missing_ok=True)
        lock.release()


def _command() -> str:
    """Return this process's command line as it would be typed."""
    first, *rest = sys.orig_argv or ["python"]
    return shlex.join([Path(first).name, *rest])


def _holder(beside: Path) -> str:
    """Say who wrote the lock's file; between taking the lock and writing, its holder is nameless."""
    try:
        who = json.loads(beside.read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} ({who['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
