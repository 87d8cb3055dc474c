"""./dev's supervisord, asked over its socket: supervisorctl would start a Python for each question."""

import configparser
import dataclasses
import http.client
import pathlib
import socket
import time
import xmlrpc.client

ALREADY_STARTED, NOT_RUNNING = 60, 70  # supervisor.xmlrpc.Faults
STOP_LIMIT_S = 120


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def make_connection(self, _host):
        return _Connection(self._path)


@dataclasses.dataclass(frozen=True)
class Program:
    state: str  # RUNNING, STARTING, BACKOFF, FATAL, …
    pid: int  # 0 while it does not run


class Supervisor:
    """A connection for each call, so that threads may share it."""

    def __init__(self, configuration):
        parser = configparser.RawConfigParser()
        parser.read(configuration)
        self._path = parser["unix_http_server"]["file"].replace("%%", "%")

    def programs(self):
        """Name → Program, of all that it keeps."""
        answer = self._ask().getAllProcessInfo()
        return {one["name"]: Program(one["statename"], one["pid"]) for one in answer}

    def start(self, program):
        """Returns at once. It may have been started by itself meanwhile."""
        try:
            self._ask().startProcess(program, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise

    def stop(self, program):
        """Returns when it has ended. One that has just been killed and is about to be started again
        cannot be stopped before it is."""
        ends = time.monotonic() + STOP_LIMIT_S
        while self.programs()[program].state not in ("STOPPED", "FATAL"):
            try:
                self._ask().stopProcess(program)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != NOT_RUNNING or time.monotonic() > ends:
                    raise
                time.sleep(0.05)

    def _ask(self):
        return xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self._path)).supervisor


def process_tree(pid):
    """The process and all that it started, itself first: Elasticsearch is a launcher with a server below
    it, PostgreSQL a process for each session."""
    children = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        children.setdefault(int(after_name[1]), []).append(int(folder.name))
    tree = [pid]
    for process in tree:
        tree += children.get(process, [])
    return tree
