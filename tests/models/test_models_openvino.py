"""OpenVINO leaves this process as it was: signals that come later find the stack that Python gave them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

from faceanon.models.openvino_net import compiled, signal_stack

# A plugin that ends on another thread cannot give back the main thread's stack, and its memory goes all the same.
SCRIPT = """
import faulthandler, signal, os, sys, threading
import numpy as np, openvino
from openvino import opset13 as op
from faceanon.models.openvino_net import compiled
faulthandler.enable()
core, given = openvino.Core(), op.parameter([1, 3], np.float32)
nets = [compiled(core, openvino.Model([op.relu(given)], [given]), 1)]
del core
thread = threading.Thread(target=nets.clear)
thread.start()
thread.join()
signal.signal(signal.SIGALRM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGALRM)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack")
def test_a_compiled_net_leaves_the_signal_stack_alone():
    """Before, while and after a net is there, the stack for signals is the same one."""
    before = signal_stack()
    core, given = openvino.Core(), op.parameter([1, 3], np.float32)

    net = compiled(core, openvino.Model([op.relu(given)], [given]), 1)

    assert net(np.float32([[-1, 0, 2]]))[0].tolist() == [[0, 0, 2]]
    assert signal_stack() == before
    del net, core
    assert signal_stack() == before


def test_a_signal_is_handled_when_nets_are_gone():
    """In a process of its own, since what goes wrong here ends it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stdout) == (0, "handled\n")
