"""Readers that die, hang or take too much: an error of their video that says so, and the next one is read as ever."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from support.processes import children, eventually, is_alive, keepers, parsers

from faceanon.core.errors import LimitExceeded, SourceUnreadable
from faceanon.core.settings import EncodeSettings, PlanSettings, RunSettings
from faceanon.media import guarded
from faceanon.media.clips import write_clip
from faceanon.media.segments import plan_segments

PLAN = PlanSettings()


@pytest.fixture(autouse=True)
def _usual_limits():
    guarded.configure(RunSettings())
    yield
    guarded.configure(RunSettings())


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    noise = np.random.default_rng(0)
    return write_clip(tmp_path_factory.mktemp("faults") / "clip.mp4", (noise.integers(0, 255, (240, 320, 3), np.uint8) for _ in range(200)))


def _reading(clip):
    facts, _ = guarded.probe(clip, PLAN)
    reader = guarded.read_pictures(clip, facts, None)
    next(reader)
    (pid,) = parsers(os.getpid())
    return reader, pid, facts


def _is_read(clip, facts) -> bool:
    return sum(1 for _ in guarded.read_pictures(clip, facts, None)) == facts.num_frames_from_content


@pytest.mark.parametrize(("number", "words"), [(signal.SIGKILL, "was killed"), (signal.SIGSEGV, "crashed by SIGSEGV"), (signal.SIGABRT, "crashed by SIGABRT")])
def test_a_reader_that_dies_is_an_error_of_its_video(clip, number, words):
    """Killed or crashed amid decoding: the error names the file and the way it ended, and another reader beside it goes on."""
    beside, _, facts = _reading(clip)
    reader = guarded.read_pictures(clip, facts, None)
    next(reader)
    victim = next(pid for pid in reversed(parsers(os.getpid())))

    os.kill(victim, number)
    with pytest.raises(SourceUnreadable, match=words) as caught:
        list(reader)
    assert caught.value.source == str(clip)
    assert len(list(beside)) == 199
    assert _is_read(clip, facts)


def test_a_reader_that_hangs_is_given_up(clip):
    """Without a packet for run.media_stall_s the reader is killed, and the error names the setting."""
    guarded.configure(RunSettings(media_stall_s=2.0))
    reader, pid, facts = _reading(clip)

    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SourceUnreadable, match=r"run\.media_stall_s"):
        list(reader)
    assert eventually(lambda: not is_alive(pid))
    assert _is_read(clip, facts)


def test_a_slow_reader_of_pictures_is_no_stall(clip):
    """However long the asking side takes between two pictures, the reader is not blamed."""
    guarded.configure(RunSettings(media_stall_s=1.5))
    reader, pid, _ = _reading(clip)

    os.kill(pid, signal.SIGSTOP)
    assert not eventually(lambda: not is_alive(pid), 4.0)
    os.kill(pid, signal.SIGCONT)
    assert len(list(reader)) == 199


def test_a_limit_on_cpu_time_ends_reading(clip):
    """The kernel is told run.media_cpu_s, and the signal that it sends at the limit becomes an error that names the setting."""
    guarded.configure(RunSettings(media_cpu_s=7.0))
    reader, pid, facts = _reading(clip)

    assert resource.prlimit(pid, resource.RLIMIT_CPU) == (7, 12)
    os.kill(pid, signal.SIGXCPU)
    with pytest.raises(LimitExceeded, match=r"run\.media_cpu_s"):
        list(reader)
    assert _is_read(clip, facts)


def test_a_limit_on_memory_ends_reading(tmp_path):
    """A picture that needs more than run.media_memory_gb is refused by that name."""
    large = write_clip(tmp_path / "large.mp4", (np.zeros((4096, 8192, 3), np.uint8) for _ in range(2)))
    facts, _ = guarded.probe(large, PLAN)
    guarded.configure(RunSettings(media_memory_gb=0.2))

    with pytest.raises(LimitExceeded, match=r"run\.media_memory_gb"):
        guarded.probe(large, PLAN)
    with pytest.raises(LimitExceeded, match="8192 x 4096"):
        next(guarded.read_pictures(large, facts, None))
    guarded.configure(RunSettings())
    assert guarded.probe(large, PLAN)[0] == facts


def test_a_limit_on_written_bytes_ends_stitching(clip, tmp_path):
    """An output beyond run.scratch_gb is refused, and nothing of it stays."""
    facts, index = guarded.probe(clip, PLAN)
    segments = plan_segments("video", facts, index, PLAN)
    guarded.configure(RunSettings(scratch_gb=1e-4))

    with pytest.raises(LimitExceeded, match=r"run\.scratch_gb"):
        guarded.stitch(clip, facts, segments, {}, tmp_path / "out.mp4", EncodeSettings())
    assert list(tmp_path.iterdir()) == []


def test_a_keeper_that_dies_is_replaced(clip):
    """Its readers end with it as errors of their videos; the next call starts another."""
    reader, pid, facts = _reading(clip)
    (keeper,) = keepers(os.getpid())

    os.kill(keeper, signal.SIGKILL)
    with pytest.raises(SourceUnreadable):
        list(reader)
    assert eventually(lambda: not is_alive(pid))
    assert _is_read(clip, facts)
    assert keepers(os.getpid()) != [keeper]


ASKING = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path
    from faceanon.core.settings import PlanSettings
    from faceanon.media import guarded
    facts, _ = guarded.probe(Path(sys.argv[1]), PlanSettings())
    reader = guarded.read_pictures(Path(sys.argv[1]), facts, None)
    kept = next(reader)
    print("reading", flush=True)
    time.sleep(60)
""")


def test_readers_die_with_whoever_asked(clip):
    """kill -9 of the asking process leaves neither keeper nor reader, and no memory with a name."""
    named = sorted(os.listdir("/dev/shm"))
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "do-not-pass-on"}
    asking = subprocess.Popen([sys.executable, "-c", ASKING, str(clip)], stdout=subprocess.PIPE, env=environment)
    assert asking.stdout is not None
    assert asking.stdout.readline() == b"reading\n"
    family = [*keepers(asking.pid), *parsers(asking.pid)]
    told = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in family)

    asking.kill()
    asking.wait()
    asking.stdout.close()
    assert len(family) == 2
    assert b"do-not-pass-on" not in told
    assert eventually(lambda: not any(map(is_alive, family)))
    assert sorted(os.listdir("/dev/shm")) == named


CONFINED = textwrap.dedent("""
    import json, os, resource, signal, socket, sys, threading
    from pathlib import Path
    from faceanon.media import sandbox

    own, foreign, folder, port = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

    def tried(act):
        try:
            act()
        except OSError as error:
            return type(error).__name__
        return "done"

    def forked():
        if os.fork() == 0:
            os._exit(0)

    def threaded():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

    words = sandbox.confine_keeper() + sandbox.confine_parser(sandbox.Limits(2 << 30, 60, 1000, 5), 0, [own], folder)
    print(json.dumps({
        "words": words,
        "landlock": sandbox.landlock_version(),
        "own": tried(own.read_bytes),
        "write own": tried(lambda: own.open("ab")),
        "foreign": tried(foreign.read_bytes),
        "list": tried(lambda: os.listdir(foreign.parent)),
        "write in folder": tried(lambda: (folder / "new").write_bytes(b"x")),
        "write beside": tried(lambda: (folder.parent / "new").write_bytes(b"x")),
        "write much": tried(lambda: (folder / "much").write_bytes(b"x" * 2000)),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", port), 2)),
        "signal": tried(lambda: os.kill(os.getppid(), 0)),
        "thread": tried(threaded),
        "fork": tried(forked),
        "program": tried(lambda: os.execv("/no/such/program", ["x"])),
        "local socket": tried(lambda: socket.socket(socket.AF_UNIX)),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "status": [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("NoNewPrivs")] if not sandbox.landlock_version() else [],
    }))
""")


def test_a_confined_process_reaches_only_what_it_was_given(tmp_path, http_counter):
    """Where the kernel has Landlock every other file is out of reach, and nothing listens for it; the words say which of these hold."""
    own, foreign, folder = tmp_path / "own", tmp_path / "foreign", tmp_path / "folder"
    own.write_bytes(b"own")
    foreign.write_bytes(b"foreign")
    folder.mkdir()

    run = subprocess.run([sys.executable, "-c", CONFINED, str(own), str(foreign), str(folder), str(http_counter.port)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    walled = "PermissionError" if found["landlock"] else "done"
    assert (found["own"], found["write in folder"], found["core"], found["files"]) == ("done", "done", 0, 64)
    assert (found["foreign"], found["list"], found["write own"], found["write beside"]) == (walled,) * 4
    assert found["write much"] == "OSError"  # EFBIG, the limit on written bytes
    assert ("rlimits" in found["words"], "no_new_privs" in found["words"]) == (True, True)
    assert (f"Landlock {found['landlock']}" in found["words"]) == bool(found["landlock"])
    if found["landlock"] >= 4 or "no network" in found["words"]:
        assert found["connect"] != "done"
        assert http_counter.requests == 0
    if found["landlock"] >= 6 or "seccomp" in found["words"]:
        assert found["signal"] == "PermissionError"
    assert found["thread"] == "done"
    if Path("/proc/sys/kernel/seccomp").exists() and platform.machine() in ("x86_64", "aarch64"):
        assert "seccomp" in found["words"]
    if "seccomp" in found["words"]:
        assert (found["fork"], found["program"], found["local socket"]) == ("PermissionError",) * 3


UNPRIVILEGED = textwrap.dedent("""
    import json, os
    from pathlib import Path
    from faceanon.media import sandbox

    if os.geteuid() == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    words = sandbox.confine_keeper()
    rights = dict(line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(("CapEff", "CapPrm", "NoNewPrivs")))
    print(json.dumps([words, rights]))
""")


def test_who_is_not_root_gains_no_rights_by_leaving_the_network():
    """The namespace that takes the network away would give all capabilities inside it; none is kept."""
    run = subprocess.run([sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    words, rights = json.loads(run.stdout)
    assert {name: int(value, 16) for name, value in rights.items()} == {"CapEff:": 0, "CapPrm:": 0, "NoNewPrivs:": 1}
    assert "no_new_privs" in words


def test_the_level_is_told(clip, caplog):
    """How readers are confined can be asked for, and begins with what every kernel grants."""
    guarded.probe(clip, PLAN)

    assert guarded.level().startswith("rlimits")
    assert "no_new_privs" in guarded.level()


def test_the_asking_process_starts_one_keeper(clip):
    """Many requests, one keeper, and no reader left after any."""
    for _ in range(3):
        guarded.probe(clip, PLAN)

    (keeper,) = keepers(os.getpid())
    assert children(keeper) == []
