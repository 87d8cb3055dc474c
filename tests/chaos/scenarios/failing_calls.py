"""Calls that fail: every one of each service once, descriptors used up, and logs that cannot be written."""

import contextlib
import os
import resource
import socket
from urllib.parse import urlsplit

from failing_calls import GatewayVisit, PipelineVisit, SchedulerVisit, Torture
from victim import Victim

from . import scenario

SHORT_SECONDS = 40


def torture(run, victim, visit):
    run.minimum_accepted = 0  # what counts is the calls
    calls = Torture(run, victim, visit)
    calls.go_on(None if run.long else SHORT_SECONDS)
    run.system.wait_ready()
    run.recovered(15)
    calls.report()


@scenario(23, "failing-calls-gateway")
def gateway(run):
    """Every call of the gateway fails once: it carries on, or ends cleanly."""
    victim = Victim(run.stand, "gateway-1", run.stand.folder)
    torture(run, victim, GatewayVisit(run, run.system.env["API_URL"]))


@scenario(23, "failing-calls-bridge")
def bridge(run):
    """Every call of the bridge fails once; no dead letter is lost by it."""
    victim = Victim(run.stand, "bridge-1", run.stand.folder)
    visit = PipelineVisit(run, victim)
    torture(run, victim, visit)
    check_kept(run, visit.poison)


def check_kept(run, poison: list[bytes]) -> None:
    """Each is a dead letter, in the queue or in the archive."""

    def lost() -> set[bytes]:
        return set(poison) - {body for _, body in run.stores.letters.all()}

    run.must_come(lambda: not lost(), 30, f"{len(poison)} dead letters are kept")


@scenario(23, "failing-calls-persister", stands_for="system calls that fail")
def persister(run):
    """Every call of the persister fails once."""
    victim = Victim(run.stand, "persister-1", run.stand.folder)
    torture(run, victim, PipelineVisit(run, victim))


@scenario(23, "failing-calls-indexer")
def indexer(run):
    """Every call of the indexer fails once."""
    victim = Victim(run.stand, "indexer-1", run.stand.folder)
    torture(run, victim, PipelineVisit(run, victim))


@scenario(23, "failing-calls-scheduler")
def scheduler(run):
    """Every call of the scheduler fails once; no dead letter is lost by it."""
    victim = Victim(run.stand, "scheduler-1", run.stand.folder, {"MV_REFRESH_SCHEDULE": "@every 1s"})
    visit = SchedulerVisit(run, victim)
    torture(run, victim, visit)
    check_kept(run, visit.poison)


@scenario(23, "descriptors-used-up")
def descriptors_used_up(run):
    """A gateway that runs out of descriptors refuses, promises nothing that it cannot keep, and recovers."""
    victim = Victim(run.stand, "gateway-1", run.stand.folder)
    with victim.instead():
        victim.start()
        run.check(victim.wait("readyz", 20), "the gateway is ready")
        with run.load(rate=150, concurrency=16):
            run.until_accepted(200)
            for turn in range(10 if run.long else 3):
                at_rest = len(victim.descriptors())
                usual = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (at_rest - 5, usual[1]))
                run.fault(f"{at_rest - 5} descriptors at most")
                if turn % 2:  # its own links must be made anew, and cannot
                    for proxy in run.proxies.values():
                        proxy.reset()
                refused = knock(run.system.env["API_URL"], 60)
                run.check(victim.exit_code is None, "it lives without descriptors")
                run.check(refused > 0, "60 connections more are too many")
                resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, usual)
                run.check(victim.wait("readyz", 20), "ready again")
                run.until_accepted(200)
            run.until_accepted(300)
        run.until(
            lambda: len(victim.descriptors()) <= at_rest + 8,
            20,
            f"no more descriptors than before ({at_rest})",
        )
        run.recovered()


def knock(url: str, count: int) -> int:
    """So many connections at once, none of which is idle and could make place: each has sent half a
    request. How many of the last five get no answer within 2 s when they have sent the other half."""
    address = urlsplit(url)
    with contextlib.ExitStack() as opened:
        connections = []
        for _ in range(count):
            connection = opened.enter_context(socket.socket())
            connection.settimeout(2)
            connection.connect((address.hostname, address.port))
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: gateway\r\n")
            connections.append(connection)
        for connection in connections[-5:]:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"\r\n")
        return sum(not is_answered(connection) for connection in connections[-5:])


def is_answered(connection: socket.socket) -> bool:
    try:
        return connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@scenario(23, "logs-cannot-be-written")
def logs_cannot_be_written(run):
    """A full disk or a closed pipe behind stderr: every service works on."""
    with run.load(rate=100), contextlib.ExitStack() as opened:
        full = opened.enter_context(open("/dev/full", "wb"))
        read_end, write_end = os.pipe()
        os.close(read_end)
        pipe = opened.enter_context(os.fdopen(write_end, "wb"))
        for name in ("gateway-1", "bridge-1", "persister-1", "indexer-1", "scheduler-1"):
            victim = Victim(run.stand, name, run.stand.folder, {"LOG_LEVEL": "debug"})
            with victim.instead():
                for what, output in (("a full disk", full), ("a closed pipe", pipe)):
                    victim.start(stdout=output, stderr=output)
                    run.fault(f"{name}: behind stderr is {what}")
                    run.check(victim.wait("readyz", 20), f"{name} becomes ready with {what}")
                    run.until_accepted(100)
                    run.check(victim.wait("livez", 5), f"{name} lives with {what}")
                    code = victim.stop()
                    run.check(code == 0, f"{name} with {what} ends with {code}")
            run.stand.wait_ready()
    run.recovered()
