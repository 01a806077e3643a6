"""Revisions from GitHub's API, and from git hosts by git: real servers, real repositories, a real agent."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_control_plane import Agent, ControlPlane, running
from tests.bundle_host import Answer, Asked, BundleHost, ConnectProxy, certificate_for
from tests.git_host import GitDaemon, GitHost, Repository

from longshore.agent import sources
from longshore.agent.config import HostConfig
from longshore.agent.errors import BundleError
from longshore.agent.specification import Revision, Specification

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "github_pat_very_secret"
APPSPEC = "version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n    - location: hook.sh\n"
FILES = {"appspec.yml": APPSPEC, "hook.sh": "#!/bin/sh\necho commit $BUNDLE_COMMIT\n"}
EVENTS = ("DownloadBundle", "Install", "AfterInstall")


def tarball(files: dict[str, str] = FILES, *, commit: str = COMMIT) -> bytes:
    """An archive as GitHub makes it: everything in one directory, the commit's id in front."""
    made = io.BytesIO()
    headers = {"comment": commit}
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"octo-shop-{commit[:7]}/{name}")
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content.encode()))
    return made.getvalue()


def zipball(*, commit: str) -> bytes:
    """The same as a zip, where the commit's id is the comment."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"octo-shop-{commit[:7]}/{name}", content)
        archive.comment = commit.encode()
    return made.getvalue()


def from_github(**members: object) -> dict[str, object]:
    github = {"Account": "octo", "Repository": "shop", "CommitId": COMMIT}
    return {"Revision": {"RevisionType": "GitHub", "GitHubRevision": github}, "Longshore": {}} | members


def from_git(url: str, commit: str) -> dict[str, object]:
    return {"Revision": {"RevisionType": "Git", "GitRevision": {"Url": url, "CommitId": commit}}}


@pytest.fixture
def host_of() -> Iterator[Callable[[Callable[[Asked], Answer]], BundleHost]]:
    made: list[BundleHost] = []

    def make(answer: Callable[[Asked], Answer]) -> BundleHost:
        made.append(BundleHost(answer))
        return made[-1]

    yield make
    for host in made:
        host.stop()


Hosts = Callable[[Callable[[Asked], Answer]], BundleHost]


def test_a_private_repository_is_read_with_the_token_which_no_other_host_sees(
    plane: ControlPlane, tmp_path: Path, host_of: Hosts
) -> None:
    storage = host_of(lambda _: Answer(200, {"etag": 'W/"weak"'}, tarball()))
    onward = Answer(302, {"location": f"{storage.url}/octo/shop/legacy.tar.gz?token=for-this-once"})
    api = host_of(lambda asked: onward if asked.headers.get("authorization") == f"token {TOKEN}" else Answer(404))
    with running(plane, tmp_path, github_api_url=f"{api.url}/api/v3/") as agent:
        plane.deployment(**from_github(GitHubAccessToken=TOKEN))
        *_, hook = plane.run_all(*EVENTS)
        assert hook.status == "Succeeded", hook.message
        assert f"[stdout]commit {COMMIT}\n" in hook.log
        plane.deployment(deployment="d-TWO", **from_github())
        refused = plane.run("DownloadBundle", "d-TWO")
        assert "it is private: store a token" in refused.message
        assert TOKEN not in agent.log() + agent.stderr()
    assert api.asked[0].path == f"/api/v3/repos/octo/shop/tarball/{COMMIT}"
    assert len(storage.asked) == 1
    assert not {"authorization", "cookie"} & storage.asked[0].headers.keys()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401), "it does not know the token"),
        (Answer(404), "no such repository or commit, or the token may not read it"),
        (Answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000000"}), "limit of requests"),
        (Answer(200, {}, tarball(commit="f" * 40)), f"GitHub sent commit {'f' * 40}"),
    ],
)
def test_what_github_refuses_is_told_with_what_to_do(
    plane: ControlPlane, tmp_path: Path, host_of: Hosts, answer: Answer, said: str
) -> None:
    api = host_of(lambda _: answer)
    with running(plane, tmp_path, github_api_url=api.url):
        plane.deployment(**from_github(GitHubAccessToken=TOKEN))
        done = plane.run("DownloadBundle")
    assert (done.status, done.code) == ("Failed", 5)
    assert said in done.message
    assert len(api.asked) == 1, "asking again would not help"


def test_a_zipball_is_of_the_commit_that_was_asked_for(plane: ControlPlane, tmp_path: Path, host_of: Hosts) -> None:
    answers = iter([Answer(200, {}, zipball(commit=commit)) for commit in (COMMIT, "f" * 40)])
    api = host_of(lambda _: next(answers))
    github = {"Account": "octo", "Repository": "shop", "CommitId": COMMIT, "BundleType": "zip"}
    with running(plane, tmp_path, github_api_url=api.url):
        for name in ("d-ONE", "d-TWO"):
            plane.deployment(deployment=name, Revision={"RevisionType": "GitHub", "GitHubRevision": github})
        *_, hook = plane.run_all(*EVENTS)
        assert hook.status == "Succeeded", hook.message
        refused = plane.run("DownloadBundle", "d-TWO")
    assert api.asked[0].path == f"/repos/octo/shop/zipball/{COMMIT}"
    assert f"GitHub sent commit {'f' * 40}" in refused.message


def test_a_github_that_stumbles_or_is_busy_is_asked_again(plane: ControlPlane, tmp_path: Path, host_of: Hosts) -> None:
    answers = iter([Answer(502), Answer(200, {}, tarball(), 100), Answer(429, {"retry-after": "1"})])
    api = host_of(lambda _: next(answers, Answer(200, {}, tarball())))
    with running(plane, tmp_path, github_api_url=api.url):
        plane.deployment(**from_github())
        assert plane.run("DownloadBundle").status == "Succeeded"
    assert len(api.asked) == 4


# git.


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "repositories").mkdir()
    return Repository(tmp_path / "repositories/shop.git")


@pytest.fixture
def git_host_of(tmp_path: Path) -> Iterator[Callable[..., GitHost]]:
    made: list[GitHost] = []

    def make(**options: object) -> GitHost:
        made.append(GitHost(tmp_path / "repositories", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        host.stop()


def test_a_commit_of_a_private_git_host_is_deployed_with_credentials_of_the_host(
    plane: ControlPlane, tmp_path: Path, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    first = repository.commit(FILES)
    repository.commit({"hook.sh": "#!/bin/sh\nexit 1\n"})
    host = git_host_of(login="deploy:tok%en")
    credentials = tmp_path / "git-credentials"
    credentials.write_text(host.url.replace("//", "//deploy:tok%25en@") + "\n")
    with running(plane, tmp_path, git_credentials_file=str(credentials)) as agent:
        plane.deployment(**from_git(f"{host.url}/shop.git", first))
        *_, hook = plane.run_all(*EVENTS)
        assert hook.status == "Succeeded", hook.message
        assert f"[stdout]commit {first}\n" in hook.log
        assert not (agent.root / "g-1/d-ONE/repository.git").exists()


def test_without_credentials_nobody_is_asked_and_the_advice_is_given(
    plane: ControlPlane, agent: Agent, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    commit = repository.commit(FILES)
    host = git_host_of(login="deploy:token")
    plane.deployment(**from_git(f"{host.url}/shop.git", commit))
    done = plane.run("DownloadBundle")
    assert done.status == "Failed"
    assert "git_credentials_file" in done.message


def test_github_and_git_are_reached_through_proxies_of_their_own(
    plane: ControlPlane, tmp_path: Path, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    """Names that only a proxy can find; the login of one is in no log."""
    commit = repository.commit(FILES)
    certificate = certificate_for(tmp_path, "api.github.invalid", "git.example.invalid")
    github = BundleHost(lambda _: Answer(200, {}, tarball()), certificate=certificate)
    git = git_host_of(certificate=certificate)
    to_github, to_git = ConnectProxy(instead=github.port), ConnectProxy(instead=git.port)
    agent = Agent(
        plane,
        tmp_path,
        github_api_url="https://api.github.invalid",
        github_proxy_uri=to_github.url,
        git_proxy_uri=to_git.url.replace("//", "//me:secret@"),
        proxy_uri="http://nobody.invalid:1",
        no_proxy="127.0.0.1",
    )
    agent.start(SSL_CERT_FILE=str(certificate[0]))
    try:
        plane.deployment(**from_github())
        plane.deployment(deployment="d-TWO", **from_git("https://git.example.invalid/shop.git", commit))
        for deployment in ("d-ONE", "d-TWO"):
            done = plane.run("DownloadBundle", deployment)
            assert done.status == "Succeeded", done.message
        assert "secret" not in agent.log() + agent.stderr()
    finally:
        agent.end()
        for each in (github, to_github, to_git):
            each.stop()
    assert set(to_github.asked) == {"api.github.invalid:443"}
    assert set(to_git.asked) == {"git.example.invalid:443"}
    assert all(said.endswith("Basic bWU6c2VjcmV0") for said in to_git.authorizations)


@pytest.mark.parametrize("is_older", [False, True])
def test_a_server_that_gives_no_single_commits_is_asked_for_all(
    plane: ControlPlane, agent: Agent, repository: Repository, git_host_of: Callable[..., GitHost], is_older: bool
) -> None:
    commit = repository.commit(FILES)
    if is_older:
        repository.commit({"hook.sh": "#!/bin/sh\nexit 1\n"})
    host = git_host_of(only_what_refs_lead_to=True)
    plane.deployment(**from_git(f"{host.url}/shop.git", commit))
    *_, hook = plane.run_all(*EVENTS)
    assert hook.status == "Succeeded", hook.message
    plane.deployment(deployment="d-TWO", **from_git(f"{host.url}/shop.git", "e" * 40))
    assert "has no commit eeee" in plane.run("DownloadBundle", "d-TWO").message


def test_a_repository_larger_than_a_bundle_may_be_is_refused(
    plane: ControlPlane, tmp_path: Path, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    commit = repository.commit(FILES | {"large": os.urandom(200_000).hex()})
    with running(plane, tmp_path, archive_max_extraction_size=100_000) as agent:
        plane.deployment(**from_git(f"{git_host_of().url}/shop.git", commit))
        done = plane.run("DownloadBundle", seconds=60)
        assert (done.status, "git says" in done.message or "git ended" in done.message) == ("Failed", True)
        assert not (agent.root / "g-1/d-ONE/repository.git").exists()
        # The bound was git's alone.
        plane.deployment({"appspec.yml": APPSPEC, "page": os.urandom(150_000).hex()}, deployment="d-TWO", group="g-2")
        assert "unpacks to more than 100000 bytes" in plane.run("DownloadBundle", "d-TWO").message


def test_gits_own_protocol_will_do(plane: ControlPlane, agent: Agent, tmp_path: Path, repository: Repository) -> None:
    commit = repository.commit(FILES)
    daemon = GitDaemon(tmp_path / "repositories")
    try:
        plane.deployment(**from_git(f"{daemon.url}/shop.git", commit))
        done = plane.run("DownloadBundle")
        assert done.status == "Succeeded", done.message
        plane.deployment(deployment="d-TWO", **from_git(f"{daemon.url}/gone.git", commit))
        assert "git says:" in plane.run("DownloadBundle", "d-TWO").message
    finally:
        daemon.stop()


def test_nothing_in_a_repository_or_in_gits_settings_runs_or_leads_elsewhere(
    plane: ControlPlane, tmp_path: Path, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    marker = tmp_path / "ran"
    evil = repository.work / ".gitmodules"
    evil.write_text(f'[submodule "s"]\n\tpath = s\n\turl = file://{repository.path}\n')
    repository.commit(FILES | {".gitattributes": "*.sh filter=evil\n", "page": "page"})
    (repository.work / "s").mkdir()
    repository.git("-C", str(repository.work), "update-index", "--add", "--cacheinfo", f"160000,{COMMIT},s", bare=False)
    commit = repository.commit_all()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {marker}; cat\n\trequired = true\n'
        f"[init]\n\ttemplateDir = {home}/template\n[core]\n\tfsmonitor = touch {marker}\n"
    )
    agent = Agent(plane, tmp_path).start(HOME=str(home), GIT_DIR="/nowhere", GIT_SSL_NO_VERIFY="1")
    try:
        plane.deployment(**from_git(f"{git_host_of().url}/shop.git", commit))
        *_, hook = plane.run_all(*EVENTS)
        assert hook.status == "Succeeded", hook.message
        assert not marker.exists()
        unpacked = agent.root / "g-1/d-ONE/deployment-archive"
        assert (unpacked / "page").read_text() == "page"
        assert list((unpacked / "s").iterdir()) == []
    finally:
        agent.end()


def test_a_link_out_of_a_repository_is_refused_as_in_any_bundle(
    plane: ControlPlane, agent: Agent, repository: Repository, git_host_of: Callable[..., GitHost]
) -> None:
    (repository.work / "passwords").symlink_to("/etc/shadow")
    commit = repository.commit(FILES)
    plane.deployment(**from_git(f"{git_host_of().url}/shop.git", commit))
    assert "symbolic link to '/etc/shadow'" in plane.run("DownloadBundle").message


@pytest.mark.parametrize(
    ("url", "commit"),
    [
        ("ext::sh -c touch% /tmp/x", COMMIT),
        ("file:///srv/shop.git", COMMIT),
        ("/srv/shop.git", COMMIT),
        ("--upload-pack=touch /tmp/x", COMMIT),
        ("ssh://-oProxyCommand=touch/shop.git", COMMIT),
        ("ssh://-l@host/shop.git", COMMIT),
        ("ssh://host/-shop.git", COMMIT),
        ("https://me:secret@host/shop.git", COMMIT),
        ("https://host/shop.git\n--x", COMMIT),
        ("https://host", COMMIT),
        ("https://[host/shop.git", COMMIT),
        ("https://host/shop.git", "main"),
        ("https://host/shop.git", "--output=/etc/passwd"),
        ("https://host/shop.git", "0123456"),
    ],
)
def test_what_git_could_take_for_more_than_a_place_is_refused(tmp_path: Path, url: str, commit: str) -> None:
    revision = Revision(kind="Git", bundle_type="tar", repository=url, commit=commit)
    told = Specification(
        deployment_id="d-ONE",
        group_id="g-1",
        group_name="Fleet",
        application="Shop",
        revision=revision,
    )
    with pytest.raises(BundleError, match=r"not usable|no whole commit id") as refused:
        sources.fetch(sources.Fetching(told, HostConfig(), tmp_path / "bundle", lambda _: None))
    assert "secret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
