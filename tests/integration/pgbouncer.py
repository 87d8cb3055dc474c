"""A private PgBouncer before a PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from system import free_port
from wait import eventually

PROGRAM = "/usr/sbin/pgbouncer"
USER = "postgres" if os.getuid() == 0 else None  # it refuses to run as root


class PgBouncer:
    def __init__(self, dsn, **settings):
        """`dsn`: a database of the server, as URL; `settings`: of the section [pgbouncer]."""
        server = urlsplit(dsn)
        self.port = free_port()
        name = server.path[1:]
        self.dsn = f"postgresql://any@127.0.0.1:{self.port}/{name}"
        # auth_type any: whoever comes is the user of [databases].
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
        }
        self._logged = 0  # by those that have ended
        self.folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\n{name} = host={server.hostname} port={server.port} user={server.username}"
            f" password={server.password}\n[pgbouncer]\n"
            + "".join(f"{key} = {value}\n" for key, value in (lines | settings).items())
        )
        if USER:
            for path in (self.folder, self.folder / "pgbouncer.ini"):
                shutil.chown(path, USER)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.kill()
        shutil.rmtree(self.folder)

    def start(self):
        with open(self.folder / "log", "a") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "pgbouncer.ini"], cwd=self.folder, user=USER, stdout=log, stderr=log
            )
        eventually(lambda: "process up" in self._log()[self._logged :], "PgBouncer is up")

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._logged = len(self._log())

    def _log(self):
        return (self.folder / "log").read_text()
