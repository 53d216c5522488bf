"""A small process that never parses anything: it forks one parser per request and says how each of them ended.

Started as a fresh interpreter, so that a fork copies neither the asking process's models nor its threads. It reads its commands from a
socket and ends, with all its parsers, when the socket or the process behind it is gone. Run by `guard`, never by hand.

In:   {"begin": N, "limits": {...}, "mapped": bytes} with three handles: the parser's channel, a socket for its fate, the shared memory
      {"kill": N}
Fate: {"status": as waitpid gives it, "cpu_s": ...}, then the end of that socket.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import socket
import sys

import av

from faceanon.core.jsonable import from_json
from faceanon.media import sandbox
from faceanon.media.parser import run_parser

_PARENT_CHECK_MS = 2000
_MAX_MESSAGE_BYTES = 1 << 16


class Keeper:
    """All that it knows: which parsers are alive, and whom to tell of their end."""

    def __init__(self, control: socket.socket, level: tuple[str, ...]) -> None:
        self._control, self._level = control, level
        self._parent = os.getppid()
        self._alive: dict[int, tuple[int, socket.socket]] = {}  # pid -> (request, fate)

    def serve(self, wake: int) -> None:
        """Returns when nobody is left to serve."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while os.getppid() == self._parent:
            ready = dict(poll.poll(_PARENT_CHECK_MS))
            if wake in ready:
                os.read(wake, 4096)
            self._bury()
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        data, handles, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE_BYTES, 3)
        if not data:
            return False
        command = json.loads(data)
        if "begin" in command:
            self._begin(command, handles)
        for pid, (number, _) in self._alive.items():
            if number == command.get("kill"):
                os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
        return True

    def _begin(self, command: dict, handles: list[int]) -> None:
        channel, fate, memory = handles
        own, pid = os.getpid(), os.fork()
        if pid == 0:
            _become_parser(own, channel, memory, command, self._level)
        self._alive[pid] = command["begin"], socket.socket(fileno=fate)
        os.close(channel)
        os.close(memory)

    def _bury(self) -> None:
        while self._alive:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            _, fate = self._alive.pop(pid)
            with fate:
                fate.settimeout(0)
                try:
                    fate.send(json.dumps({"status": status, "cpu_s": usage.ru_utime + usage.ru_stime}).encode())
                except OSError:
                    continue  # whoever asked is gone


def _become_parser(keeper: int, channel: int, memory: int, command: dict, level: tuple[str, ...]) -> None:
    """In the fork: never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if sandbox.die_with_parent(keeper):
            _let_go(channel, memory)
            run_parser(socket.socket(fileno=channel), memory, from_json(sandbox.Limits, command["limits"]), command["mapped"], level)
    finally:
        os._exit(0)  # what a parser has to say it has said on its channel


def _let_go(*kept: int) -> None:
    """Of every handle but these: the keeper's belong to other requests."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    edges = [2, *sorted(kept), 1 << 16]
    for low, high in itertools.pairwise(edges):
        os.closerange(low + 1, high)


def _load_all() -> None:
    """PyAV loads parts of itself when they are first needed, which a parser may not."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith(("__main__", "datasets")):
            importlib.import_module(module.name)


def main(control: int) -> None:
    _load_all()
    wake, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    level = sandbox.confine_keeper()
    gc.collect()
    gc.freeze()  # forks share these objects
    Keeper(socket.socket(fileno=control), level).serve(wake)
    os._exit(0)  # parsers die with this process


if __name__ == "__main__":
    main(int(sys.argv[1]))
