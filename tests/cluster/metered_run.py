"""A process of its own: the fake archive through a real local Ray, with fakes for models; prints the summary and what the metrics port says."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path

import ray
from support.fake_archive import Silent, fake_models, spec_of, write_archive

from faceanon.core.settings import Settings
from faceanon.flow.job import Context
from faceanon.rayflow import executor, metrics

PATIENCE_S = 30.0


def scrape(port: int, until: str) -> str:
    """The endpoint's text, once it holds `until`."""
    stop = time.monotonic() + PATIENCE_S
    while time.monotonic() < stop:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        if until in text:
            return text
        time.sleep(0.2)
    raise RuntimeError(f"{until} did not appear on the metrics port within {PATIENCE_S} s")


def main(folder: Path) -> None:
    archive = write_archive(folder / "archive")
    (archive / "broken.mp4").write_bytes(b"this is no video")
    settings = Settings().with_values(render__engine="blur", plan__segment_seconds=1.0, detect__width_px=192, run__workers=1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    executor.connect(None)
    spec, work = spec_of(folder / "out", settings, folder / "key.json", [str(archive)])
    with Context(spec, fake_models) as context:
        summary = metrics.run(context, executor.RayExecutor(spec, fake_models), work, Silent())
    text = scrape(ray.nodes()[0]["MetricsExportPort"], "ray_faceanon_runs_total{")
    print(json.dumps({"summary": summary, "metrics": text}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
