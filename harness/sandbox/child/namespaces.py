"""Puts this process into namespaces of its own: no network, no other processes, a private tmpfs as its file system.

Nothing but Linux system calls through ctypes. As root no user namespace is needed, and a spare user id takes the place
of root; any other user gets a user namespace first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

TYPE_CHECKING = False  # As in typing, whose import would double the cost of a start.
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
SYS_MOUNT_SETATTR = 442
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217, "riscv64": 41}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91, "ppc64le": 184, "s390x": 185, "riscv64": 91}
CAPABILITY_VERSION_3 = 0x20080522
SPARE_USER = 65534
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Return the result of a system call; raises OSError with its errno where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int) -> None:
    """Set a property of this process."""
    check(libc.prctl(option, value, 0, 0, 0), "prctl")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount something; raises OSError."""
    raw = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    check(libc.mount(raw[0], raw[1], raw[2], ctypes.c_ulong(flags), raw[3]), f"mount {target}")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter(request: dict[str, Any]) -> None:
    """Move into the sandbox; returns only in the process that is to run the source.

    The processes are: this one, waiting outside; its child, number 1 of the new namespace, with whose end the kernel
    kills all others there; and that one's child, which returns.
    """
    die_with_parent()
    root = os.geteuid() == 0
    separate(root)
    relay(os.fork())
    die_with_parent()
    build_root(request)
    drop_privileges(root)
    die_with_parent()  # Again: becoming another user clears it.
    os.setsid()
    relay(os.fork())


def separate(root: bool) -> None:
    """Leave the namespaces of the parent; anyone but root needs a user namespace for that."""
    user, group = os.geteuid(), os.getegid()
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET | (0 if root else NEWUSER)
    check(libc.unshare(flags), "unshare")
    if not root:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{SPARE_USER} {user} 1"),
            ("gid_map", f"{SPARE_USER} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as stream:
                stream.write(text)


def relay(pid: int) -> None:
    """In the parent of a fork, wait for that child and end as it did; orphans that came to us are reaped too."""
    if pid == 0:
        return
    os.closerange(0, 256)
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 255)


def build_root(request: dict[str, Any]) -> None:
    """Make a tmpfs the root, with the request's paths in it read-only, and let go of the old one."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"size={request['limits']['tmpfs_bytes']},mode=755")
    os.mkdir("/tmp/old")
    call = SYS_PIVOT_ROOT[os.uname().machine]
    check(libc.syscall(call, b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    os.umask(0)
    for path in request["readable"]:
        show(path)
    for path in ("/tmp", "/dev", "/dev/shm", "/proc"):
        os.makedirs(path, 0o755, exist_ok=True)
    os.chmod("/tmp", 0o1777)
    os.chmod("/dev/shm", 0o1777)
    for name in DEVICES:
        os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/old/dev/{name}", f"/dev/{name}", None, MS_BIND)
    if request["proc"]:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    check(libc.umount2(b"/old", MNT_DETACH), "umount")
    os.rmdir("/old")
    os.chdir("/tmp")


def show(path: str) -> None:
    """Bind a file or folder of the old root at the same place, read-only; a symbolic link is copied."""
    old = "/old" + path
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    if os.path.islink(old):
        os.symlink(os.readlink(old), path)
        return
    if os.path.isdir(old):
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(old, path, None, MS_BIND | MS_REC)
    attributes = ctypes.create_string_buffer(struct.pack("4Q", ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 0, 0, 0), 32)
    result = libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE, attributes, ctypes.c_size_t(32))
    check(result, f"make {path} read-only")


def drop_privileges(root: bool) -> None:
    """Give up every capability, and root itself, for good."""
    if root:
        leave_root()
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    check(libc.syscall(SYS_CAPSET[os.uname().machine], header, bytes(24)), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def leave_root() -> None:
    """Become a user that nobody else is, so that its processes are counted apart; where there is none, nobody."""
    os.setgroups([])
    for user in ((1 << 30) + int.from_bytes(os.urandom(3), "big"), SPARE_USER):
        try:
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            return
        except OSError:  # An id that this user namespace does not have.
            continue
    sys.exit("this root cannot become another user")


def inside_bubblewrap(request: dict[str, Any]) -> None:
    """Finish what bubblewrap began: it leaves root two capabilities, which end with becoming another user."""
    if os.geteuid() == 0:
        leave_root()


def with_limits_only(request: dict[str, Any]) -> None:
    """Isolate nothing; die with the parent and gain no privileges."""
    die_with_parent()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
