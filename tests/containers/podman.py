"""podman, as little of it as the tests need."""

import json
import os
import signal
import subprocess
from pathlib import Path

from wait import eventually

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "bridge", "persister", "indexer", "scheduler")
# podman runs health checks by timers of systemd; here the tests run them.
ENVIRONMENT = os.environ | {"DISABLE_HC_SYSTEMD": "true"}


def run(*command, timeout=120, check=True, **options):
    """What it printed on standard output; what it said is in the error if it fails."""
    result = subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )
    if check:
        assert result.returncode == 0, f"{' '.join(map(str, command))}:\n{result.stdout}{result.stderr}"
        return result.stdout
    return result


def podman(*arguments, **options):
    return run("podman", *arguments, **options)


def image(name):
    return json.loads(podman("image", "inspect", name))[0]


class Container:
    def __init__(self, name):
        self.name = name

    def inspect(self):
        return json.loads(podman("container", "inspect", self.name))[0]

    @property
    def pid(self):
        """0 while it does not run."""
        return self.inspect()["State"]["Pid"]

    def addresses(self):
        """Network → address."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return {name: network["IPAddress"] for name, network in networks.items()}

    def address(self, network):
        return self.addresses()[network]

    def execute(self, *command, **options):
        return podman("exec", self.name, *command, **options)

    def is_healthy(self):
        """What its health check says now. (podman's own exit code forgives for a while after the start.)"""
        podman("healthcheck", "run", self.name, check=False)
        log = self.inspect()["State"]["Health"].get("Log") or [{"ExitCode": 1}]
        return log[-1]["ExitCode"] == 0

    def logs(self):
        result = podman("logs", self.name, check=False)
        return result.stdout + result.stderr

    def crash(self):
        """As if its program had crashed: podman does not know that it was us, and starts it again."""
        old = self.pid
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.pid not in (0, old), f"{self.name} is started again", 30)

    def stop(self):
        """SIGTERM; its exit code."""
        podman("stop", "--time", "15", self.name)
        return self.inspect()["State"]["ExitCode"]

    def remove(self):
        podman("rm", "--force", "--ignore", "--time", "15", self.name)
