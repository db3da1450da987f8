"""The kinds of sandbox, strongest first: how each is started, and which of them this machine can run."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness.sandbox.job import Job

CHILD = str(Path(__file__).parent.resolve() / "child")
BOOT = "import sys; sys.path.insert(0, {child!r}); import job, namespaces; job.main(namespaces.{enter})"
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
REMEDY = "install bubblewrap, allow user namespaces, or accept the risk with --allow-unsandboxed"


def interpreter() -> str:
    """Return the real path of the running interpreter, outside of any virtual environment."""
    return os.path.realpath(sys.executable)


def package_folders() -> list[str]:
    """Return the real paths of the folders of installed packages."""
    return sorted({os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


def readable_paths(job: Job) -> list[str]:
    """Return what a job can read: the system's and the interpreter's libraries, our child, and what it asks for."""
    own = [f"{sys.base_prefix}/lib", f"{sys.base_prefix}/lib64", interpreter(), CHILD]
    paths = [*SYSTEM, *own, *(package_folders() if job.packages else []), *job.readable]
    paths = [path for path in dict.fromkeys(paths) if os.path.lexists(path)]
    folders = [path for path in paths if os.path.isdir(path) and not os.path.islink(path)]
    return [path for path in paths if not any(path.startswith(folder + "/") for folder in folders)]


def _python(enter: str) -> list[str]:
    return [interpreter(), "-I", "-S", "-X", "utf8", "-c", BOOT.format(child=CHILD, enter=enter)]


def _bubblewrap(job: Job) -> list[str]:
    """Start through bwrap; root keeps what it needs to become another user, whose processes can be counted."""
    found = shutil.which("bwrap") or "bwrap"  # The sandbox is started without this environment's PATH.
    command = [found, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    command += ["--die-with-parent", "--new-session", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp"):
        command += ["--perms", "1777", "--size", str(job.limits.tmpfs_bytes), "--tmpfs", folder]
    paths = readable_paths(job)
    for folder in sorted({str(folder) for path in paths for folder in Path(path).parents[:-1]} - {"/tmp"}):
        command += ["--perms", "0755", "--dir", folder]  # bwrap would copy a mode such as /root's 0700.
    for path in paths:
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    command += ["--proc", "/proc"] if job.proc else []
    return [*command, "--chdir", "/tmp", "--", *_python("inside_bubblewrap")]


TIERS: dict[str, Callable[[Job], list[str]]] = {
    "bubblewrap": _bubblewrap,
    "unshare": lambda job: _python("enter"),
    "limits": lambda job: _python("with_limits_only"),
}
"""Name -> command line that starts a job; strongest first. "limits" isolates nothing."""


def counts_processes(tier: str) -> bool:
    """Tell whether a limit on processes would count those of the job alone; before Linux 5.14 only root's are."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    return tier != "limits" and (os.geteuid() == 0 or release >= (5, 14))


@cache
def why_not(tier: str) -> str | None:
    """Return why a tier cannot run on this machine, or None where a small program ran in it.

    Raises:
        ValueError: for an unknown tier.
    """
    from harness.sandbox.run import run  # It imports this module.

    if tier not in TIERS:
        raise ValueError(f"no sandbox tier named {tier!r}; known: {', '.join(TIERS)}")
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, not {sys.platform}"
    if tier == "bubblewrap" and shutil.which("bwrap") is None:
        return "bwrap is not installed"
    outcome = run(Job(source="print('ok')", inputs=[""]), tier)
    return None if outcome.values == ["ok\n"] else outcome.error


def choose(allow_unsandboxed: bool = False) -> str:
    """Return the strongest tier that this machine can run.

    Args:
        allow_unsandboxed: whether to fall back on "limits", which isolates nothing.

    Raises:
        ValueError: where none of the isolating tiers runs, and the other one is not allowed.
    """
    reasons = []
    for tier in TIERS:
        if tier == "limits" and not allow_unsandboxed:
            break
        reason = why_not(tier)
        if reason is None:
            return tier
        reasons.append(f"{tier}: {reason}")
    raise ValueError(f"no sandbox for model-written code runs here ({'; '.join(reasons)}); {REMEDY}")
