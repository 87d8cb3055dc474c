import os
import pty
import select
import subprocess
import time

import pytest

from orderctl.samples import GOOD, environment
from orderctl.stub_gateway import StubGateway
from system import binary


@pytest.fixture
def gateway():
    gateway = StubGateway()
    yield gateway
    gateway.close()


@pytest.fixture
def orderctl(gateway):
    def run(*arguments, ends_with=GOOD, stdin="", timeout=60, **changes):
        result = subprocess.run(
            [binary("orderctl"), *map(str, arguments)],
            env=environment(gateway, **changes),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == ends_with, result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def on_terminal(gateway):
    """Runs orderctl with a terminal for all three streams; returns what it wrote and how it ended. `act`
    is called with the process and what has been written so far, until it returns true."""

    def run(*arguments, act=None, answer=None, **changes):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [binary("orderctl"), *map(str, arguments)],
            env=environment(gateway, **changes),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        if answer:
            os.write(master, answer.encode())
        written = b""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    written += os.read(master, 65536)
                except OSError:  # its last process has ended
                    break
            if act and act(process, written.decode(errors="replace")):
                act = None
        os.close(master)
        return written.decode(errors="replace"), process.wait(10)

    return run
