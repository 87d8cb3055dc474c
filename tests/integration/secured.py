"""An Elasticsearch that knows users: the server that ./dev up uses, once more, with its security on."""

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess

import requests

from supervisor import process_tree
from system import free_ports, send
from wait import eventually

PASSWORD = "secret"

CONFIGURATION = """\
cluster.name: secured
discovery.type: single-node
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport_port}
path.data: ["{folder}/data"]
path.logs: "{folder}/log"
xpack.security.enabled: true
xpack.security.enrollment.enabled: false
xpack.security.http.ssl.enabled: false
xpack.security.transport.ssl.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
"""
JVM = "-Xms256m\n-Xmx256m\n-XX:+UseSerialGC\n-XX:TieredStopAtLevel=1\n-Djava.io.tmpdir=${ES_TMPDIR}\n"


class Secured:
    """`roles`: the name of a role, and of the user who has it, → its privileges by kind: "cluster", and
    "index" on the indices of `pattern`. "admin" may do everything."""

    def __init__(self, system, pattern, roles):
        self._usual = (system.run / "servers/elasticsearch").resolve()
        self._folder = self._usual.parent / "secured"
        self._port = free_ports(2)
        self._write(pattern, roles)

    def url(self, user):
        return f"http://{user}:{PASSWORD}@127.0.0.1:{self._port}"

    def ask(self, method, path, body=None, user="admin"):
        return requests.request(method, self.url(user) + path, json=body, timeout=60)

    def _write(self, pattern, roles):
        shutil.rmtree(self._folder, ignore_errors=True)
        config = self._folder / "config"
        for folder in (config, self._folder / "tmp"):
            folder.mkdir(parents=True)
        (config / "elasticsearch.yml").write_text(
            CONFIGURATION.format(folder=self._folder, port=self._port, transport_port=self._port + 1)
        )
        (config / "jvm.options").write_text(JVM)
        shutil.copy(self._usual / "config/log4j2.properties", config)
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        (config / "users").write_text("".join(f"{name}:{{SHA}}{digest}\n" for name in ["admin", *roles]))
        (config / "users_roles").write_text("".join(f"{n}:{n}\n" for n in roles) + "superuser:admin\n")
        (config / "roles.yml").write_text("".join(_role(n, pattern, p) for n, p in roles.items()))
        start = self._folder / "start"
        start.write_text((self._usual / "start").read_text().replace(str(self._usual), str(self._folder)))
        start.chmod(0o700)

    @contextlib.contextmanager
    def running(self):
        command = [str(self._folder / "start")]
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "postgres:", f"{self._folder}/"], check=True)
            command = ["runuser", "-u", "postgres", "--", *command]
        with (self._folder / "output").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self._folder)
        try:
            eventually(self._is_ready, "the secured Elasticsearch answers", 120, 0.5)
            yield self
        finally:
            send(signal.SIGKILL, process_tree(process.pid))
            process.wait(60)

    def _is_ready(self):
        try:
            return self.ask("GET", "/_cluster/health").ok
        except requests.ConnectionError:
            return False


def _role(name, pattern, privileges):
    cluster, index = (", ".join(privileges.get(kind, [])) for kind in ("cluster", "index"))
    return (
        f"{name}:\n  cluster: [{cluster}]\n"
        f'  indices:\n    - names: ["{pattern}"]\n      privileges: [{index}]\n'
    )
