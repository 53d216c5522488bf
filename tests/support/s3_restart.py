"""A real S3 server of its own that can be killed with -9 and started again on the same data and port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support import s3_server


class RestartableServer:
    """`with RestartableServer() as server:` `server.environment` points clients to it; `kill` and `start` as often as wanted."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="faceanon-s3-"))
        self._ports = s3_server._free_ports(len(s3_server._PORTS))
        self._weed = s3_server._weed()
        self._process: subprocess.Popen | None = None
        self.endpoint = f"http://127.0.0.1:{self._ports[s3_server._PORTS.index('s3.port')]}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": s3_server.KEY, "AWS_SECRET_ACCESS_KEY": s3_server.SECRET, "AWS_DEFAULT_REGION": "us-east-1"
        }  # fmt: skip
        credentials = [{"accessKey": s3_server.KEY, "secretKey": s3_server.SECRET}]
        identity = {"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        (self.folder / "id.json").write_text(json.dumps({"identities": [identity]}))

    def __enter__(self) -> RestartableServer:
        self.start()
        s3_server._make_bucket(self.environment)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        command = [str(self._weed), "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={self.folder}/id.json"]
        command += ["-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.autoCreateBucket=false"]
        command += [f"-{name}={port}" for name, port in zip(s3_server._PORTS, self._ports, strict=True)]
        with (self.folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, env={**os.environ, "GOMEMLIMIT": "300MiB"})
        s3_server._wait(self._process, self.endpoint, self.folder / "log.txt")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
