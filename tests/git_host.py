"""Git servers on loopback, with real repositories: `git http-backend` by HTTP, `git daemon`, and `sshd`."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import ports

_IDENTITY = {
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.com",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repository:
    """A bare repository on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._work = path.with_suffix(".work")
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(path), bare=False)
        self.git("clone", "--quiet", str(path), str(self._work), bare=False)

    def git(self, *words: str, bare: bool = True) -> str:
        where = ["--git-dir", str(self.path)] if bare else []
        done = subprocess.run(
            ["git", *where, *words], env=os.environ | _IDENTITY, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Commit these files (those that end in .sh executable) to `main`; the commit's id."""
        for name, content in files.items():
            path = self._work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755 if name.endswith(".sh") else 0o644)
        return self.commit_all()

    def commit_all(self) -> str:
        """Commit what lies in `work`."""
        work = ("-C", str(self._work))
        self.git(*work, "add", "--all", bare=False)
        self.git(*work, "commit", "--quiet", "--message", "a change", bare=False)
        self.git(*work, "push", "--quiet", "origin", "HEAD:main", bare=False)
        return self.git(*work, "rev-parse", "HEAD", bare=False)

    @property
    def work(self) -> Path:
        return self._work


class GitHost:
    """Serves the repositories of a folder by HTTP, as git hosts do."""

    def __init__(
        self,
        folder: Path,
        *,
        login: str | None = None,
        only_what_refs_lead_to: bool = False,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                path, _, query = self.path.partition("?")
                host.asked.append(self.path)
                body = self._body()
                wanted = login and "Basic " + base64.b64encode(login.encode()).decode()
                if wanted and self.headers.get("authorization") != wanted:
                    self.send_response(401)
                    self.send_header("www-authenticate", 'Basic realm="git"')
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                environ = (
                    os.environ
                    | _IDENTITY
                    | {
                        "GIT_PROJECT_ROOT": str(folder),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "REQUEST_METHOD": self.command,
                        "PATH_INFO": path,
                        "QUERY_STRING": query,
                        "CONTENT_TYPE": self.headers.get("content-type", ""),
                        "CONTENT_LENGTH": str(len(body)),
                        "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                        # The second generation of the protocol gives out every object.
                        "GIT_PROTOCOL": "" if only_what_refs_lead_to else self.headers.get("git-protocol", ""),
                    }
                )
                done = subprocess.run(
                    ["git", "http-backend"], input=body, env=environ, capture_output=True, timeout=60, check=False
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n") if line)
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A git that is ended in the middle is nobody's fault."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class GitDaemon:
    """`git daemon`: git's own protocol, for everybody."""

    def __init__(self, folder: Path) -> None:
        port = ports.kept()
        self.url = f"git://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            ["git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1", f"--port={port}"],
            env=os.environ | _IDENTITY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 15
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            assert time.monotonic() < deadline, "git daemon does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class SshHost:
    """A real SSH server that lets the holders of known keys fetch by git, and nothing else."""

    def __init__(self, folder: Path, repositories: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authorized = folder / "authorized_keys"
        self._authorized.touch()
        #: Its public key, as a line of ssh_known_hosts has it.
        self.key = new_ssh_key(folder / "host_key")
        self._port = ports.kept()
        self.url = f"ssh://{getpass.getuser()}@127.0.0.1:{self._port}{repositories}"
        self.address = f"[127.0.0.1]:{self._port}"
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert sshd
        if os.geteuid() == 0:
            # Where it puts those who have not yet shown who they are; its service would make it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        settings = {
            "Port": self._port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host_key",
            "AuthorizedKeysFile": self._authorized,
            "PidFile": "none",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            # It would look at every directory above, and temporary ones are everybody's.
            "StrictModes": "no",
        }
        (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=log)
        deadline = time.monotonic() + 15
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, "sshd does not start"
            time.sleep(0.02)

    def admit(self, public_key: str) -> None:
        """Let the holder of this key fetch."""
        allowed = 'command="git shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict'
        self._authorized.write_text(f"{allowed} {public_key}\n")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def new_ssh_key(path: Path) -> str:
    """Make a key without a passphrase; its public half."""
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    return path.with_suffix(".pub").read_text().strip()
