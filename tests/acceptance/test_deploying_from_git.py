"""Revisions that are commits, of GitHub with a stored token and of any other git host, by the commands a user types."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, missing_tool
from tests.bundle_host import Answer, Asked, BundleHost
from tests.git_host import GitHost, Repository, SshHost, new_ssh_key

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "github_pat_of_octo_very_secret"

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


def tarball(revision: Revision) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": COMMIT}) as archive:
        for path, content, mode in revision.entries():
            entry = tarfile.TarInfo(f"octo-shop-{COMMIT[:7]}/{path}")
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def deploy(plane: ControlPlane, shop: Shop, repository: str, commit: str) -> dict[str, Any]:
    created = plane.aws(
        *("deploy", "create-deployment", "--application-name", shop.name, "--deployment-group-name", "prod"),
        *("--github-location", f"repository={repository},commitId={commit}"),
    )
    return shop.ended(created["deploymentId"])


def test_a_private_repository_of_github_is_deployed_with_the_applications_token(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    content = tarball(Revision(files={"page": "from GitHub"}, install={"page": "/opt/shop"}))

    def answer(asked: Asked) -> Answer:
        known = asked.headers.get("authorization") == f"token {TOKEN}"
        return Answer(200, {}, content) if known else Answer(404)

    github = BundleHost(answer)
    try:
        [host] = hosts_of(own_plane, views=True, github_api_url=github.url)
        assert host.view is not None
        shop = shop_of(own_plane, [host])
        before = deploy(own_plane, shop, "octo/shop", COMMIT)
        assert before["status"] == "Failed"
        assert "store a token" in shop.failure(before["deploymentId"], host.name)["message"]

        secret = tmp_path / "token.txt"
        secret.write_text(f"{TOKEN}\n")
        put = ["longshore", "github-token", "put", "octo", "--application", shop.name]
        with secret.open() as stdin:
            said = own_plane.run(*put, stdin=stdin).stdout
        assert "octo" in said
        application = own_plane.aws("deploy", "get-application", "--application-name", shop.name)["application"]
        assert (application["linkedToGitHub"], application["gitHubAccountName"]) == (True, "octo")
        after = deploy(own_plane, shop, "octo/shop", COMMIT)
        assert after["status"] == "Succeeded", host.log
        assert host.view.written("/opt/shop/page").read_text() == "from GitHub"

        names = own_plane.aws("deploy", "list-git-hub-account-token-names")["tokenNameList"]
        assert names == ["octo"]
        own_plane.aws("deploy", "delete-git-hub-account-token", "--token-name", "octo")
        assert deploy(own_plane, shop, "octo/shop", COMMIT)["status"] == "Failed"
        audit = own_plane.run("longshore", "audit", "--output", "json").stdout
        assert "PutGitHubAccountToken" in audit
        assert TOKEN not in audit + own_plane.log.read_text() + host.log
    finally:
        github.stop()


def test_a_commit_of_another_git_host_is_deployed_by_its_url(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    (tmp_path / "repositories").mkdir()
    repository = Repository(tmp_path / "repositories/shop.git")
    revision = Revision(files={"page": "from git"}, install={"page": "/opt/shop"}, hooks={"AfterInstall": "true"})
    commit = repository.commit({path: content for path, content, _ in revision.entries()})
    git = GitHost(tmp_path / "repositories")
    try:
        [host] = hosts_of(shared_plane, views=True)
        assert host.view is not None
        shop = shop_of(shared_plane, [host])
        ended = deploy(shared_plane, shop, f"{git.url}/shop.git", commit)
        assert ended["status"] == "Succeeded", host.log
        assert ended["revision"]["gitHubLocation"] == {"repository": f"{git.url}/shop.git", "commitId": commit}
        assert host.view.written("/opt/shop/page").read_text() == "from git"
    finally:
        git.stop()


def test_a_commit_comes_by_ssh_with_what_the_host_has(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """A real sshd. The host has to know its key, and it the host's; each is asked for where it is missing."""
    if reason := missing_tool("sshd"):
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    (tmp_path / "repositories").mkdir()
    repository = Repository(tmp_path / "repositories/shop.git")
    revision = Revision(files={"page": "by ssh"}, install={"page": "/opt/shop"})
    commit = repository.commit({path: content for path, content, _ in revision.entries()})
    git = SshHost(tmp_path / "sshd", tmp_path / "repositories")
    try:
        [host] = hosts_of(shared_plane, views=True)
        view = host.view
        assert view is not None
        shop = shop_of(shared_plane, [host])

        def on_the_host(script: str, given: str) -> None:
            command = view.command(["sh", "-euc", script])
            subprocess.run(command, input=given, text=True, check=True, capture_output=True, timeout=30)

        def refused() -> str:
            ended = deploy(shared_plane, shop, f"{git.url}/shop.git", commit)
            assert ended["status"] == "Failed"
            return str(shop.failure(ended["deploymentId"], host.name)["message"])

        assert "Put the git host's key into /etc/ssh/ssh_known_hosts" in refused()
        on_the_host("mkdir -p /etc/ssh; cat >>/etc/ssh/ssh_known_hosts", f"{git.address} {git.key}\n")
        assert "an SSH key that the git host knows" in refused()
        git.admit(new_ssh_key(tmp_path / "key"))
        store = "mkdir -pm 700 ~/.ssh; umask 077; cat >~/.ssh/id_ed25519"
        on_the_host(store, (tmp_path / "key").read_text())
        ended = deploy(shared_plane, shop, f"{git.url}/shop.git", commit)
        assert ended["status"] == "Succeeded", host.log + git.log
        assert view.written("/opt/shop/page").read_text() == "by ssh"
    finally:
        git.stop()


def test_a_token_is_stored_by_those_alone_who_may_and_has_to_look_like_one(shared_plane: ControlPlane) -> None:
    service = shared_plane.client("longshore")
    with pytest.raises(ClientError, match="visible ASCII"):
        service.put_git_hub_account_token(tokenName="octo", token="two words of it")
    with pytest.raises(ClientError, match="ApplicationDoesNotExistException"):
        service.put_git_hub_account_token(tokenName="octo", token=TOKEN, applicationNames=["nobody"])
    key = service.create_access_key(userName="somebody")["accessKey"]
    theirs = shared_plane.client("longshore", keys=(key["accessKeyId"], key["secretAccessKey"]))
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.put_git_hub_account_token(tokenName="octo", token=TOKEN)
    assert shared_plane.client("codedeploy").list_git_hub_account_token_names()["tokenNameList"] == []
