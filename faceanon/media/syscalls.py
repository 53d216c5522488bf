"""What a process that parses foreign bytes may not ask of the kernel: a seccomp filter, for x86-64 and ARM64.

No new socket of any kind (files of Unix sockets are no business of Landlock's), no new process, which could outlive the one that is watched,
no other program, no look into or signal to others, and none of the kernel's larger doors. Threads, files and memory stay as they are.
Refused calls fail with EPERM, so that a library that only tries goes on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from dataclasses import dataclass

_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4  # without the latter, older kernels slow the whole process down
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF: words of the call's description against constants
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_CLONE_THREAD = 0x10000
_X32 = 0x40000000  # numbers from here on are those of another interface on x86-64
_CLONE3 = 435  # its flags are out of a filter's sight; told that it does not exist, the C library uses clone
_REFUSED_EVERYWHERE = (
    424, 434, 438,  # pidfd_send_signal, pidfd_open, pidfd_getfd
    425, 426, 427,  # io_uring_setup, _enter, _register
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
)  # fmt: skip


@dataclass(frozen=True)
class _Machine:
    """Numbers of system calls: clone, tgkill, the filter's own, and those that are refused."""

    architecture: int
    clone: int
    tgkill: int
    seccomp: int
    refused: tuple[int, ...]


_MACHINES = {
    "x86_64": _Machine(
        0xC000003E, 56, 234, 317,
        (
            41, 42, 43, 49, 50, 288,  # socket, connect, accept, bind, listen, accept4
            57, 58, 59, 322,  # fork, vfork, execve, execveat
            62, 200, 129, 297, 101, 310, 311,  # kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, ptrace, process_vm_readv, process_vm_writev
            321, 298, 323, 248, 249, 250,  # bpf, perf_event_open, userfaultfd, add_key, request_key, keyctl
            165, 166, 155, 161, 272, 308, 303, 304,  # mount, umount2, pivot_root, chroot, unshare, setns, name_to_handle_at, open_by_handle_at
            175, 313, 176, 246, 320,  # init_module, finit_module, delete_module, kexec_load, kexec_file_load
        ),
    ),
    "aarch64": _Machine(
        0xC00000B7, 220, 131, 277,
        (
            198, 203, 202, 200, 201, 242,
            221, 281,
            129, 130, 138, 240, 117, 270, 271,
            280, 241, 282, 217, 218, 219,
            40, 39, 41, 51, 97, 268, 264, 265,
            105, 273, 106, 104, 294,
        ),
    ),
}  # fmt: skip


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def refuse_calls(libc: ctypes.CDLL) -> bool:
    """For this thread and all that it starts, for good. Needs no_new_privs. False where the kernel, or this machine's kind, has no such filter."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    steps = _steps(machine)
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    return libc.syscall(machine.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program)) == 0


def _steps(machine: _Machine) -> list[_Step]:
    refuse, unknown, allow = (_Step(_RETURN, 0, 0, value) for value in (_FAIL | errno.EPERM, _FAIL | errno.ENOSYS, _ALLOW))
    steps = [
        _Step(_LOAD, 0, 0, _AT_ARCHITECTURE),
        _Step(_EQUAL, 1, 0, machine.architecture),
        refuse,
        _Step(_LOAD, 0, 0, _AT_NUMBER),
        _Step(_AT_LEAST, 0, 1, _X32),
        refuse,
        _Step(_EQUAL, 0, 1, _CLONE3),
        unknown,
    ]
    for number in (*machine.refused, *_REFUSED_EVERYWHERE):
        steps += [_Step(_EQUAL, 0, 1, number), refuse]
    steps += [_Step(_EQUAL, 0, 4, machine.tgkill), _Step(_LOAD, 0, 0, _AT_FIRST_ARGUMENT), _Step(_EQUAL, 0, 1, os.getpid()), allow, refuse]  # abort(3) uses it
    steps += [_Step(_EQUAL, 0, 3, machine.clone), _Step(_LOAD, 0, 0, _AT_FIRST_ARGUMENT), _Step(_ANY_BIT, 1, 0, _CLONE_THREAD), refuse]
    return [*steps, allow]
