"""deploymentMode RESTART, by the aws CLI and by what the hosts did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from longshore.domain.lifecycle import IN_PLACE
from tests.acceptance.world import ControlPlane, Host, Revision, Shop

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]

SCRIPTED = [event for event in IN_PLACE if event not in ("DownloadBundle", "Install")]


def noting(notes: Path, target: Path, *, version: str = "1") -> Revision:
    """A revision whose every script notes its event, with one file to install."""
    return Revision(
        hooks=dict.fromkeys(SCRIPTED, f"echo $LIFECYCLE_EVENT $DEPLOYMENT_ID {version} >> {notes}"),
        files={"site/version": version},
        install={"site": str(target)},
    )


def restart(shop: Shop) -> str:
    """Ask for a restart as a person would; returns the deployment's id once it has succeeded."""
    asked = ("--application-name", shop.name, "--deployment-group-name", "prod", "--deployment-mode", "RESTART")
    deployment_id: str = shop.plane.aws("deploy", "create-deployment", *asked)["deploymentId"]
    assert shop.ended(deployment_id)["status"] == "Succeeded"
    return deployment_id


def test_a_restart_stops_and_starts_what_is_installed(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """The bundle is gone from storage and a file was edited on the host: neither matters, nor does a second time."""
    hosts = hosts_of(shared_plane)
    shop = shop_of(shared_plane, hosts)
    name, notes, target = hosts[0].name, tmp_path / "notes", tmp_path / "site"
    location = shop.push(noting(notes, target))
    first, _ = shop.run(location)
    shop.s3.delete_object(Bucket=shop.bucket, Key=location["s3Location"]["key"])
    (target / "version").write_text("edited")
    # A broken revision in between was never installed with success, so it is not what is restarted.
    shop.run(Revision(hooks={"BeforeInstall": "exit 1"}))
    notes.write_text("")

    for _ in range(2):
        deployment_id = restart(shop)
        told = shop.info(deployment_id)
        assert told["deploymentMode"] == "RESTART"
        assert told["revision"] == location
        assert list(shop.events(deployment_id, name)) == list(IN_PLACE)
        assert set(shop.statuses(deployment_id, name)) == {"Succeeded"}
        ran = [line.split() for line in notes.read_text().splitlines()]
        restarting = ("ApplicationStop", "ApplicationStart", "ValidateService")
        assert ran == [[event, deployment_id, "1"] for event in restarting]
        notes.write_text("")
        group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
        assert group["deploymentGroupInfo"]["lastSuccessfulDeployment"]["deploymentId"] == deployment_id
    assert (target / "version").read_text() == "edited"
    assert "deploymentMode" not in shop.info(first)
    assert not list(hosts[0].root.glob(f"*/{deployment_id}/bundle.tar"))


def test_a_restart_installs_where_the_revision_is_missing(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """A host that joined later and one whose copy is incomplete get it whole; one that has it is only restarted."""
    hosts = hosts_of(shared_plane, 3)
    shop = shop_of(shared_plane, hosts[:2])
    notes = tmp_path / "notes"
    first, _ = shop.run(Revision(hooks={"AfterInstall": f"echo $DEPLOYMENT_ID >> {notes}"}))
    shop.join(hosts[2])
    next(hosts[1].root.glob(f"*/{first}/bundle.tar")).unlink()
    deployment_id = restart(shop)
    assert notes.read_text().split() == [first, first, deployment_id, deployment_id]
    for host, has_fetched in zip(hosts, (False, True, True), strict=True):
        assert bool(list(host.root.glob(f"*/{deployment_id}/bundle.tar"))) == has_fetched


def test_a_restart_that_cannot_stop_the_application_fails(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S3.4, S6.15: as in any deployment, unless such failures are to be ignored."""
    hosts = hosts_of(shared_plane)
    shop = shop_of(shared_plane, hosts)
    shop.run(Revision(hooks={"ApplicationStop": "echo stuck; exit 3"}))
    asked = {"applicationName": shop.name, "deploymentGroupName": "prod", "deploymentMode": "RESTART"}
    failed = shop.deploy.create_deployment(**asked)["deploymentId"]
    assert shop.ended(failed)["status"] == "Failed"
    failure = shop.failure(failed, hosts[0].name)
    assert (failure["event"], failure["errorCode"]) == ("ApplicationStop", "ScriptFailed")
    ignored = shop.deploy.create_deployment(**asked, ignoreApplicationStopFailures=True)["deploymentId"]
    assert shop.ended(ignored)["status"] == "Succeeded"
