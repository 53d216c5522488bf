"""A worker's machine, as Ray sees it: which nodes live, why a worker ended, and how to end this one."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

from faceanon.flow.host import overtime

log = logging.getLogger("faceanon")

EXIT_OVERTIME, EXIT_MEMORY = 70, 71
_GRACE_S = 60.0  # in which the reason is written down; then the process ends without one


class RayWorker:
    """For a process that is a Ray worker. Ray starts another one in its place and hands it the same units."""

    def __init__(self) -> None:
        here = ray.get_runtime_context()
        self.node, self.worker = here.get_node_id(), here.get_worker_id()

    def is_lost(self, node: str) -> bool:
        return bool(node) and node not in {entry["NodeID"] for entry in ray.nodes() if entry["Alive"]}

    def ending_of(self, worker: str) -> str:
        return "its process was ended by Ray because the machine ran out of memory" if worker and _died_of_memory(worker) else ""

    @contextmanager
    def limited(self, limit_s: float, note: Callable[[str], None]) -> Iterator[None]:
        """A thread ends the process; should a library that hangs hold Python back, too, faulthandler's own does, which needs no Python."""
        timer = threading.Timer(limit_s, _end, (overtime(limit_s), note))
        timer.daemon = True
        timer.start()
        faulthandler.dump_traceback_later(limit_s + min(_GRACE_S, limit_s), exit=True, file=2)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            timer.cancel()

    def renew(self) -> None:
        os._exit(EXIT_MEMORY)


def _end(why: str, note: Callable[[str], None]) -> None:
    log.error("%s: this worker ends itself", why)
    try:
        note(why)
    finally:
        os._exit(EXIT_OVERTIME)


def _died_of_memory(worker: str) -> bool:
    """Ray's own memory monitor says so in its table of workers, which has no public door without a dashboard; an unknown Ray says nothing."""
    try:
        from ray._private.state import state
        from ray.core.generated import common_pb2, gcs_pb2

        entry = state._connect_and_get_accessor().get_worker_info(ray.WorkerID(bytes.fromhex(worker)))
        return bool(entry) and gcs_pb2.WorkerTableData.FromString(entry).exit_type == common_pb2.WorkerExitType.NODE_OUT_OF_MEMORY
    except (ImportError, AttributeError, TypeError):
        return False
