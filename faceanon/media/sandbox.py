"""How little a process that parses foreign bytes is allowed: limits of its own, no way to more rights, no network, and no file but those it is given.

`confine_keeper` holds for a keeper and all that it forks; `confine_parser` adds what one request needs. Both give back words for what
the kernel granted: rlimits and no_new_privs are always there; Landlock (Linux 5.13 and later), a filter of system calls, a network namespace
and the loss of capabilities are taken where they can be had, and are missing from the words where not. Linux only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faceanon.media.syscalls import refuse_calls

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture that Linux gained them on
_RULE_PATH_BENEATH, _ASK_VERSION = 1, 1
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_KEPT_CAPABILITIES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root still reads other people's files

# include/uapi/linux/landlock.h: the access rights that each version of the interface knows.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 8, 1 << 14
_RIGHTS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_IN_WORK_FOLDER = _READ_FILE | _WRITE_FILE | _READ_DIR | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
_CONNECT_AND_BIND = 0b11  # TCP, from version 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # from version 6
_RESERVED_BYTES = 4 << 30  # address space that threads and allocators set aside and never touch
_OPEN_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What one request may cost."""

    memory_bytes: int
    cpu_s: float
    file_bytes: int  # of the largest file that it may write
    stall_s: float  # without a packet, a frame or a byte: given up


def confine_keeper() -> tuple[str, ...]:
    """For this process and its children, for good."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _call(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    words = ["no_new_privs"]
    kept = _KEPT_CAPABILITIES if os.geteuid() == 0 else 0
    if _leave_network():
        words.append("no network")
    if _drop_capabilities(kept):  # whoever is not root has gained all of them inside the namespace, and with them more of the kernel to attack
        words.append("no capabilities")
    return tuple(words)


def die_with_parent(parent: int) -> bool:
    """False where `parent` is gone already."""
    _call(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    return os.getppid() == parent


def confine_parser(limits: Limits, mapped_bytes: int, readable: Sequence[Path], folder: Path | None) -> tuple[str, ...]:
    """For the calling process, before it has threads: it may read the files `readable` and do as it likes inside `folder`."""
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    _lower(resource.RLIMIT_AS, limits.memory_bytes + mapped_bytes + _RESERVED_BYTES)
    _lower(resource.RLIMIT_CPU, max(1, round(limits.cpu_s)), extra=5)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes if folder else 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    words = ["rlimits"]
    version = landlock_version()
    if version:
        _landlock(version, readable, folder)
        words.append(f"Landlock {version}")
    if refuse_calls(_libc):
        words.append("seccomp")
    return tuple(words)


def landlock_version() -> int:
    """Of the kernel's interface; 0 where there is none, or where it is switched off."""
    answer = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if answer < 0 and ctypes.get_errno() not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
        _call(answer)
    return max(0, answer)


def _landlock(version: int, readable: Sequence[Path], folder: Path | None) -> None:
    rights = (1 << _RIGHTS_BITS.get(version, 16)) - 1
    handled = [rights, *([_CONNECT_AND_BIND] if version >= 4 else []), *([_ABSTRACT_SOCKETS_AND_SIGNALS] if version >= 6 else [])]
    attributes = (ctypes.c_uint64 * len(handled))(*handled)
    rules = _call(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint32(0)))
    for path in readable:
        _allow(rules, path, _READ_FILE)
    if folder is not None:
        _allow(rules, folder, _IN_WORK_FOLDER & rights)
    _call(_libc.syscall(_RESTRICT_SELF, rules, ctypes.c_uint32(0)))
    os.close(rules)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _allow(rules: int, path: Path, rights: int) -> None:
    """What cannot be opened, or is no file where a file is meant, is not allowed; whoever opens it then hears why."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) or rights & _READ_DIR:
            rule = _PathBeneath(rights, handle)
            _call(_libc.syscall(_ADD_RULE, rules, ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)))
    finally:
        os.close(handle)


def _leave_network() -> bool:
    """A network namespace without devices; whoever is not root needs a user namespace for it, which some systems forbid."""
    return _libc.unshare(_CLONE_NEWNET) == 0 or (os.geteuid() != 0 and _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


def _drop_capabilities(kept: int) -> bool:
    """Version 3 of capset(2): two words each of effective, permitted and inheritable."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    return _libc.capset(header, data) == 0


def _lower(kind: int, value: int, extra: int = 0) -> None:
    """Never above what was there before."""
    _, ceiling = resource.getrlimit(kind)
    allowed = [v for v in (value, ceiling) if v != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min(allowed), min([value + extra, *allowed[1:]])))


def _call(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
