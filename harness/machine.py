"""What the numbers were made on: versions, hardware, threads, commit; knows nothing of arms or records."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "numpy")


def facts(device: torch.device) -> dict[str, Any]:
    """Return the facts that a manifest keeps about the machine and the software, as plain JSON values."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "versions": versions,
        "hardware": hardware(device), "threads": torch.get_num_threads(), "git_commit": git_commit(),
    }  # fmt: skip


def check_device(name: str) -> None:
    """Check that this machine can compute on a device: "auto", "cpu", "cuda", "cuda:1", ...

    Raises:
        ValueError: where it cannot.
    """
    try:
        torch.empty(0, device="cpu" if name == "auto" else name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(f"device {name!r} cannot be used here ({reason}); use auto or cpu") from None


def hardware(device: torch.device) -> str:
    """Return the name of the GPU, or of the CPU with its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def git_commit() -> str | None:
    """Return the commit of the checkout this code runs from ("-dirty" where it was changed), or None outside of one."""
    here = Path(__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".", "../sbd")
        return _git(here, "rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()
