"""A commit of any git repository, by the system's git.

One commit is fetched into a bare repository of its own, and written as an archive: nothing is checked out, so no hook,
filter, submodule or configuration of the repository is ever looked at, and what comes is unpacked as warily as any
bundle. A commit's id is a hash over its content, which git checks.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from longshore.agent import backoff
from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.proxies import Proxy
from longshore.agent.removing import remove_tree
from longshore.agent.sources import Fetched, Fetching

#: One run of git.
RUN_SECONDS = 1800.0
TRIES = 4
#: A transfer slower than this (bytes a second, for so many seconds) is ended.
_SLOW = (1000, 60)
#: Bytes of what git says at its end that are read.
_MOST_SAID = 8192
_SCHEMES = ("https", "ssh", "git", "http")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: A server that gives single commits to nobody, only what its branches and tags lead to.
_NOT_BY_ID = re.compile(r"unadvertised object|not our ref|no such remote ref|couldn't find remote ref", re.IGNORECASE)
#: What the next try will not change.
_FINAL = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|not found|access denied"
    r"|host key verification failed|does not appear to be a git repository|certificate|returned error: 40[13]"
    r"|not allowed|no space left|file size limit|unable to create",
    re.IGNORECASE,
)
#: What git needs of the agent's environment.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "TMPDIR")


def fetch(asked: Fetching) -> Fetched:
    """Fetch the commit, and write it as a tar."""
    revision = asked.specification.revision
    _check_url(revision.repository)
    if not _COMMIT_ID.fullmatch(revision.commit):
        raise BundleError(f"{revision.commit!r} is no whole commit id: 40 (or 64) hexadecimal digits")
    if shutil.which("git") is None:
        raise BundleError(f"git is not installed on this host; {revision.repository} is fetched with it")
    repository = asked.target.with_name("repository.git")
    remove_tree(repository)
    try:
        _Repository(repository, asked).archive()
    finally:
        remove_tree(repository)
    return Fetched(asked.target, "tar")


def _check_url(url: str) -> None:
    """Only a URL of a scheme that we know: git would run a program for others, or take a word for an option."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_plain = all("!" <= character <= "~" for character in url) and "\\" not in url and parts.path.startswith("/")
    if (
        parts.scheme not in _SCHEMES
        or not is_plain
        or not _HOST.fullmatch(host)
        or parts.password is not None
        or (parts.username is not None and (parts.scheme != "ssh" or not _USER.fullmatch(parts.username)))
        or parts.path.startswith(("//", "/-"))
    ):
        raise BundleError(f"the git repository's URL is not usable; {', '.join(_SCHEMES)} URLs without a password are")


class _Repository:
    """A bare repository, for one commit."""

    def __init__(self, path: Path, asked: Fetching) -> None:
        self._path = path
        self._asked = asked
        self._url = asked.specification.revision.repository
        self._commit = asked.specification.revision.commit
        self._name = f"{self._url} at {self._commit}"

    def archive(self) -> None:
        """Leave the commit's files as a tar where the bundle is wanted."""
        self._run("init", "--quiet", "--bare", "--template=", "--", os.fspath(self._path), alone=True)
        self._fetch()
        self._run(
            *("--git-dir", os.fspath(self._path), "archive", "--format=tar"),
            *("--output", os.fspath(self._asked.target), self._commit),
            alone=True,
        )

    def _fetch(self) -> None:
        one = ("--depth=1", "--", self._url, self._commit)
        everything = ("--", self._url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        wanted: Sequence[str] = one
        failures = 0
        while True:
            self._asked.progress(f"{self._name}: git fetches it")
            try:
                self._run(
                    *("--git-dir", os.fspath(self._path), "fetch", "--quiet", "--no-tags", "--no-recurse-submodules"),
                    *wanted,
                )
                break
            except _GitError as error:
                if wanted is one and _NOT_BY_ID.search(error.said):
                    wanted = everything
                    continue
                failures += 1
                if failures >= TRIES or _FINAL.search(error.said):
                    raise BundleError(f"cannot fetch {self._name}: {error}{_advice(error.said)}") from None
            time.sleep(backoff.delay(failures))
        if wanted is everything:
            self._require()

    def _require(self) -> None:
        try:
            self._run("--git-dir", os.fspath(self._path), "cat-file", "-e", f"{self._commit}^{{commit}}", alone=True)
        except _GitError:
            raise BundleError(f"{self._url} has no commit {self._commit} that a branch or a tag leads to") from None

    def _run(self, *words: str, alone: bool = False) -> None:
        """Run git; `alone`, without the host's configuration: it has no part in what a commit's files are.

        Raises:
            _GitError: it failed; with what it said.
            BundleError: it took too long.
        """
        config = self._asked.config
        settings = {
            "core.hooksPath": "/dev/null",
            "credential.interactive": "never",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "http.lowSpeedLimit": str(_SLOW[0]),
            "http.lowSpeedTime": str(_SLOW[1]),
            "http.sslVerify": "true",
            "protocol.allow": "never",
            **{f"protocol.{scheme}.allow": "always" for scheme in _SCHEMES},
        }
        if config.git_credentials_file is not None:
            settings["credential.helper"] = f"store --file={shlex.quote(os.fspath(config.git_credentials_file))}"
        command = ["git", *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")), *words]
        # What a server has git print goes to a file: it may be any amount.
        with tempfile.TemporaryFile(dir=self._path.parent) as said:
            # A session of its own has no terminal: neither git nor ssh can ask anybody anything.
            # No repository may fill the disk.
            with _bounded_files(config.archive_max_extraction_size):
                process = subprocess.Popen(  # noqa: S603 - every word is checked or ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env=_environment(config, self._url, os.environ, alone=alone),
                    cwd="/",
                    start_new_session=True,
                )
            try:
                process.wait(timeout=RUN_SECONDS)
            except subprocess.TimeoutExpired:
                raise BundleError(f"git did not end within {RUN_SECONDS:.0f} seconds on {self._name}") from None
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if process.returncode:
                said.seek(max(0, said.tell() - _MOST_SAID))
                raise _GitError(said.read(_MOST_SAID).decode("utf-8", "replace"), process.returncode)


@contextmanager
def _bounded_files(size: int) -> Iterator[None]:
    """Whoever is started meanwhile can make no larger file.

    Set here: between fork and exec no code of ours is safe where there are other threads.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    bounds = [bound for bound in (size, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class _GitError(BundleError):
    """git failed."""

    def __init__(self, said: str, status: int) -> None:
        self.said = said
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        last = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))] or lines
        super().__init__(f"git says: {' '.join(last[:3])[:600]}" if last else f"git ended with status {status}")


def _environment(config: HostConfig, url: str, inherited: Mapping[str, str], *, alone: bool) -> dict[str, str]:
    """Nothing that is not needed: neither the agent's keys nor what would change git's mind."""
    variables = {name: inherited[name] for name in _KEPT if name in inherited}
    variables.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    variables |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ATTR_NOSYSTEM": "1",
    }
    if alone:
        return variables | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
    if authorities := inherited.get("SSL_CERT_FILE") or inherited.get("AWS_SSL_CA_BUNDLE"):
        variables["GIT_SSL_CAINFO"] = authorities
    proxy = config.proxies.to("git", urlsplit(url).hostname or "")
    if proxy is not None:
        # Not as an option: options can be seen by everybody on the host, and a proxy's URL may hold a password.
        variables |= {"http_proxy": _url_of(proxy), "https_proxy": _url_of(proxy)}
    return variables


def _url_of(proxy: Proxy) -> str:
    user, _, password = (proxy.login or "").partition(":")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if proxy.login else ""
    return f"http://{login}{proxy.host}:{proxy.port}"


def _advice(said: str) -> str:
    if re.search(r"could not read username|authentication failed|returned error: 40[13]", said, re.IGNORECASE):
        return (
            ". If the repository is private, put a line https://USER:TOKEN@HOST into the file that "
            "git_credentials_file names, or give git on this host a credential helper"
        )
    if re.search(r"host key verification failed", said, re.IGNORECASE):
        return ". Put the git host's key into /etc/ssh/ssh_known_hosts"
    if re.search(r"permission denied \(", said, re.IGNORECASE):
        return ". Give this agent's user an SSH key that the git host knows"
    return ""
