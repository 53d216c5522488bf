"""Each phase is one Ray Data execution over rows of references.

Why one execution a phase and not one long graph: the barriers are tables on storage anyway, and with a shuffle inside the graph
Ray's per-operator reservation starves the actors on small clusters. Rows are materialised blocks of a few units, so that the read
task (which needs a whole CPU of its own) is over before any actor takes one.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from faceanon.core.errors import FaceanonError, KeystoreUnavailable, StoreUnavailable, UsageError
from faceanon.flow.job import Context, JobSpec, Loader, load_models
from faceanon.flow.outcome import Row
from faceanon.rayflow.actors import StepActor
from faceanon.rayflow.resources import Pool, pool_for

log = logging.getLogger("faceanon")


class RayExecutor:
    """Needs `connect` to have been called."""

    def __init__(self, spec: JobSpec, loader: Loader = load_models) -> None:
        self._spec = spec
        self._loader = loader

    def map(self, phase: str, units: Sequence[Row]) -> Iterator[Row]:
        """One row per unit. Raises the error of a step that stops the run."""
        pool = pool_for(phase, len(units), self._spec.settings.run, ray.cluster_resources())
        rows = ray.data.from_items([{"unit": json.dumps(unit)} for unit in units], override_num_blocks=_blocks(len(units), pool))
        answers = rows.map_batches(
            StepActor,
            fn_constructor_args=(self._spec.to_row(), phase, self._loader),
            compute=ActorPoolStrategy(size=pool.actors),
            batch_size=1,  # a unit is seconds to minutes of work
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
        )  # Ray restarts actors and retries tasks without end; what bounds attempts is the ledger of attempts in the work store, per unit
        for answer in answers.iter_rows():
            row = json.loads(answer["row"])
            if row["kind"] == "stop":
                raise _stopped(row)
            yield row


def _blocks(units: int, pool: Pool) -> int:
    """A few units a block: enough blocks to keep actors even, few enough for the driver (6.5 kB a block)."""
    return max(1, min(units, max(pool.actors * 4, units // 16)))


def _stopped(row: Row) -> FaceanonError:
    error = (StoreUnavailable if row["away"] else FaceanonError)(row["reason"], source=row["source"])
    error.exit_code = row["exit_code"]
    return error


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Part of a cluster for a while. Ray says on stdout what it retries, in the middle of our answer: for as long, stdout is stderr."""
    with redirect_stdout(sys.stderr):
        connect(address)
        try:
            yield
        finally:
            ray.shutdown()


def connect(address: str | None) -> None:
    """Join the cluster of `ray job submit` or RAY_ADDRESS; without one, start a local one, and never join what else runs on this machine."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    context.execution_no_progress_timeout_s = -1  # one long segment may well be all that is going on
    for chatty in ("ray.data", "ray.train", "ray"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Ray's core warns of things that are meant here; its own log files are not concerned
    if not ray.is_initialized():
        own = {} if address else {"include_dashboard": False}
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.WARNING, configure_logging=False, **own)


def check_nodes(spec: JobSpec) -> None:
    """Every node must see the run's keystore, also the driver's, whose workers may have another environment. Raises UsageError where no node works
    and KeystoreUnavailable where one cannot, before any work starts."""
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
    if not nodes:
        raise UsageError("no node of the cluster offers a CPU yet; `ray status` shows when workers are there")
    answers = ray.get([_keystore_of_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(spec.to_row()) for node in nodes])
    for (node, address), reason in zip(nodes.items(), answers, strict=True):
        if reason:
            raise KeystoreUnavailable(f"node {node[:12]} at {address} cannot take part: {reason}", source=spec.key_file)


@ray.remote(num_cpus=0)
def _keystore_of_node(spec: str) -> str:
    """Why this node cannot take part; "" where it can."""
    try:
        with Context(JobSpec.from_row(spec)) as context:
            return "" if context.keystore.keystore_id else "an empty keystore"  # opening it compares it with the driver's
    except FaceanonError as error:
        return error.reason
