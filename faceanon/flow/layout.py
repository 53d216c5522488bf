"""Where things lie below OUT and below the work root. Names only, no I/O."""

from __future__ import annotations


def video_folder(output_id: str) -> str:
    return f"videos/{output_id}"


def plan(output_id: str) -> str:
    return f"videos/{output_id}/plan.json"


def analysis(output_id: str, segment_no: int) -> str:
    return f"videos/{output_id}/analysis/{segment_no:06d}.sealed"


def views(output_id: str, segment_no: int) -> str:
    return f"videos/{output_id}/views/{segment_no:06d}.sealed"


def regions(output_id: str) -> str:
    return f"videos/{output_id}/regions.sealed"


def staged_record(output_id: str, segment_no: int, regions_digest: str) -> str:
    return f"videos/{output_id}/staged/{segment_no:06d}-{regions_digest[:16]}.json"


def staged_file(output_id: str, segment_no: int, regions_digest: str, token: str) -> str:
    """`token` keeps two attempts at one segment apart."""
    return f"videos/{output_id}/staged/{segment_no:06d}-{regions_digest[:16]}.{token}.nut"


def attempt(run_id: str, phase: str, unit: str, number: int) -> str:
    return f"attempts/{run_id}/{phase}/{unit}.{number}"


def attempts(run_id: str) -> str:
    return f"attempts/{run_id}"


def driver_mark(run_id: str) -> str:
    """Says which process drives a run, for as long as it does."""
    return f"attempts/{run_id}/driver.json"


MARK = ".driver"


def out_mark(run_id: str) -> str:
    """The same, below OUT."""
    return f"runs/{run_id}{MARK}"


def published_object(output_id: str, sha256: str, suffix: str) -> str:
    """Below OUT: the committed bytes."""
    return f"objects/{output_id[:2]}/{output_id}-{sha256[:16]}{suffix}"


def view(name: str) -> str:
    """Below OUT: what a person opens; made from the record."""
    return f"videos/{name}"


def summary(run_id: str) -> str:
    return f"runs/{run_id}.json"
