"""One service run by hand in the place of the supervised one, with fail_call.c loaded: any of its calls can
be made to fail, or can be where the process is killed, before it starts and while it runs."""

import contextlib
import ctypes
import enum
import mmap
import os
import pathlib
import signal
import subprocess
import sys
import time

import requests

sys.path.append(str(pathlib.Path(__file__).parents[1] / "integration"))
from system import ROOT, binary  # noqa: E402

SHIM = ROOT / "build/release/tests/chaos/libfail_call.so"
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
DRAIN_SECONDS = 12


class Moment(enum.IntEnum):
    """As in fail_call.c: what happens at the armed call."""

    FAILS = 0
    BEFORE = 1  # killed before the call,
    AFTER = 2  # when it has returned,
    SENT = 3  # or when what it gave to libpq has been sent, or Elasticsearch has done what it asked


class Control(ctypes.Structure):
    """As in fail_call.c."""

    _fields_ = [
        ("call", ctypes.c_char * 48),
        ("argument", ctypes.c_char * 80),
        ("moment", ctypes.c_int64),
        ("left", ctypes.c_int64),
        ("fired", ctypes.c_int64),
    ]


class Victim:
    def __init__(self, stand, name: str, folder: pathlib.Path, settings: dict[str, str] | None = None):
        self.name = name
        self.service = name.rpartition("-")[0]
        self.log = folder / f"failing-{name}.log"
        self._stand = stand
        control = folder / f"failing-{name}.control"
        control.write_bytes(bytes(ctypes.sizeof(Control)))
        with open(control, "r+b") as file:
            self._control = Control.from_buffer(mmap.mmap(file.fileno(), 0))
        self._environment = (
            {"PATH": os.environ["PATH"]}
            | stand.services.environment(name)
            | {"LD_PRELOAD": str(SHIM), "FAIL_CONTROL": str(control), "LC_ALL": "C"}
            | (settings or {})
        )
        self.url = stand.services.admin_url(name)
        self._process: subprocess.Popen | None = None
        self._log_starts_at = 0

    @contextlib.contextmanager
    def instead(self):
        """The supervised service makes room while the block runs."""
        self.log.unlink(missing_ok=True)
        self._stand.stop(self.name)
        try:
            yield self
        finally:
            self.kill()
            self._stand.start(self.name)

    # --- the failing call

    def arm(self, call: str, at: int, argument: str = "", moment: Moment = Moment.FAILS) -> None:
        """The `at`-th call from now on, of those with `argument` in what they are about."""
        self._control.left = 0
        self._control.call = call.encode()
        self._control.argument = argument.encode()
        self._control.moment = moment
        self._control.fired = 0
        self._control.left = at

    def disarm(self) -> None:
        self._control.left = 0

    @property
    def fired(self) -> bool:
        return self._control.fired > 0

    # --- the process

    def start(self, **options) -> None:
        """`options`: as of Popen."""
        self._log_starts_at = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as output:
            self._process = subprocess.Popen(
                [binary(self.service)],
                env=self._environment,
                cwd=self._stand.folder,
                stdin=subprocess.DEVNULL,
                **({"stdout": output, "stderr": output} | options),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a signal as a negative number."""
        return self._process.poll()

    def kill(self) -> None:
        if self._process is not None and self.exit_code is None:
            self._process.kill()
            self._process.wait(10)

    def stop(self) -> int | None:
        """SIGTERM; the exit code, or None when it did not end in time."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(DRAIN_SECONDS)
        self.kill()
        return None

    def wait(self, page: str, seconds: float) -> bool:
        """Until the page (livez, readyz) answers 200; False when it does not within so many seconds, or the
        process has ended."""
        ends = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < ends:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/{page}", timeout=2).status_code == 200:
                    return True
            time.sleep(0.02)
        return False

    def descriptors(self) -> list[str]:
        """What its open descriptors are."""
        folder = f"/proc/{self.pid}/fd"
        found = []
        with contextlib.suppress(OSError):
            for fd in os.listdir(folder):
                with contextlib.suppress(OSError):
                    found.append(os.readlink(f"{folder}/{fd}"))
        return found

    def output(self) -> str:
        """What it has written since it was started."""
        with open(self.log, "rb") as file:
            file.seek(self._log_starts_at)
            return file.read().decode(errors="replace")
