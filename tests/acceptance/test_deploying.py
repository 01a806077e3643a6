"""The main job, by the commands a user types and by what each host did."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from longshore.commands.waiting import HOLD
from longshore.domain.lifecycle import IN_PLACE
from tests.acceptance.world import ACCOUNT, ControlPlane, Host, Revision, Shop, wait_until

SCRIPTED = [event for event in IN_PLACE if event not in ("DownloadBundle", "Install")]

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


def test_the_documented_commands_roll_a_revision_over_five_hosts(
    tmp_path: Path, own_plane: ControlPlane, hosts_of: Hosts
) -> None:
    """From an empty directory: every step by the aws CLI, three deployments one after another."""
    roll_by_hand(tmp_path, own_plane, hosts_of(own_plane, 5, views=True), versions=("1", "2", "3"))


def roll_by_hand(
    tmp_path: Path, plane: ControlPlane, hosts: list[Host], *, versions: tuple[str, ...], bucket: str = "releases"
) -> None:
    """What the documentation tells a user to type, for hosts with file systems of their own."""
    aws = plane.aws
    aws("deploy", "create-application", "--application-name", "shop")
    for host in hosts:
        arn = f"arn:aws:iam::{ACCOUNT}:user/{host.name}"
        aws("deploy", "register-on-premises-instance", "--instance-name", host.name, "--iam-user-arn", arn)
    names = [host.name for host in hosts]
    aws("deploy", "add-tags-to-on-premises-instances", "--instance-names", *names, "--tags", "Key=role,Value=web")
    group = ["--application-name", "shop", "--deployment-group-name", "prod"]
    tag_set = '{"onPremisesTagSetList": [[{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]]}'
    aws(
        *("deploy", "create-deployment-group", *group, "--service-role-arn", f"arn:aws:iam::{ACCOUNT}:role/deploy"),
        *("--on-premises-tag-set", tag_set, "--deployment-config-name", "CodeDeployDefault.HalfAtATime"),
    )
    aws("s3", "mb", f"s3://{bucket}")

    for version in versions:
        source = Revision(
            files={"site/version": version},
            install={"site": "/opt/shop"},
            hooks={
                "ApplicationStart": "echo starting $DEPLOYMENT_GROUP_NAME",
                "ValidateService": "cat /opt/shop/version",
            },
        ).write(tmp_path / f"source-{version}")
        location = f"s3://{bucket}/shop-{version}.zip"
        aws("deploy", "push", "--application-name", "shop", "--s3-location", location, "--source", source)
        revision = f"bucket={bucket},key=shop-{version}.zip,bundleType=zip"
        deployment_id = aws("deploy", "create-deployment", *group, "--s3-location", revision)["deploymentId"]
        aws("deploy", "wait", "deployment-successful", "--deployment-id", deployment_id)
        for host in hosts:
            assert host.view is not None
            assert host.view.written("/opt/shop/version").read_text() == version
        overview = aws("deploy", "get-deployment", "--deployment-id", deployment_id)["deploymentInfo"][
            "deploymentOverview"
        ]
        assert overview["Succeeded"] == len(hosts)

    assert not Path("/opt/shop/version").exists()
    watched = plane.run("longshore", "watch", deployment_id)
    assert "Succeeded" in watched.stdout


@pytest.mark.parametrize("event", SCRIPTED)
def test_a_failing_hook_is_told_with_its_script_exit_code_and_log(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, event: str
) -> None:
    """S3.4, S3.20: the failed event says why, later ones are Skipped, earlier ones Succeeded."""
    hosts = hosts_of(shared_plane)
    shop = shop_of(shared_plane, hosts)
    name = hosts[0].name
    broken = Revision(hooks={event: "echo working on it; echo it broke >&2; exit 42"})
    if event == "ApplicationStop":
        # Its scripts are those of the revision before (S3.16).
        _, first = shop.run(broken)
        assert first["status"] == "Succeeded"
    deployment_id, ended = shop.run(broken)
    assert ended["status"] == "Failed"
    assert ended["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert ended["deploymentOverview"]["Failed"] == 1
    failure = shop.failure(deployment_id, name)
    assert failure["event"] == event
    assert failure["errorCode"] == "ScriptFailed"
    assert failure["scriptName"] == f"scripts/{event}.sh"
    assert "exit code 42" in failure["message"]
    assert "[stdout]working on it" in failure["logTail"]
    assert "[stderr]it broke" in failure["logTail"]
    at = IN_PLACE.index(event)
    assert shop.statuses(deployment_id, name) == ["Succeeded"] * at + ["Failed"] + ["Skipped"] * (
        len(IN_PLACE) - at - 1
    )
    for skipped in list(shop.events(deployment_id, name).values())[at + 1 :]:
        assert "startTime" not in skipped
        assert "endTime" in skipped


def test_half_at_a_time_never_has_more_than_half_at_work(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """Seen from the hosts themselves: their scripts note when they begin and end."""
    hosts = hosts_of(shared_plane, 4)
    shop = shop_of(shared_plane, hosts)
    notes = tmp_path / "notes"
    notes.touch()
    _, ended = shop.run(
        Revision(hooks={"BeforeInstall": f"echo + >> {notes}", "ValidateService": f"sleep 0.2; echo - >> {notes}"}),
        deploymentConfigName="CodeDeployDefault.HalfAtATime",
    )
    assert ended["status"] == "Succeeded"
    at_work, most = 0, 0
    for note in notes.read_text().split():
        at_work += 1 if note == "+" else -1
        most = max(most, at_work)
    assert at_work == 0
    assert most == 2


def test_a_broken_revision_stops_at_the_floor(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    """S2.7, S3.5: OneAtATime fails at the first host and leaves the others as they were."""
    hosts = hosts_of(shared_plane, 3)
    shop = shop_of(shared_plane, hosts)
    deployment_id, ended = shop.run(
        Revision(hooks={"ValidateService": "exit 1"}), deploymentConfigName="CodeDeployDefault.OneAtATime"
    )
    assert ended["status"] == "Failed"
    assert ended["deploymentOverview"] == {
        "Pending": 0, "InProgress": 0, "Succeeded": 0, "Failed": 1, "Skipped": 2, "Ready": 0,
    }  # fmt: skip
    untouched = [host.name for host in hosts if shop.target(deployment_id, host.name)["status"] == "Skipped"]
    assert all(set(shop.statuses(deployment_id, name)) == {"Skipped"} for name in untouched)


def test_stopping_in_the_middle_of_a_roll(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S6.5, S6.8: the running hook finishes, nothing else starts."""
    hosts = hosts_of(shared_plane, 2)
    shop = shop_of(shared_plane, hosts)
    at_work, go_on = tmp_path / "at-work", tmp_path / "go-on"
    hook = f"touch {at_work}; while [ ! -e {go_on} ]; do sleep 0.05; done; echo done"
    deployment_id = shop.start(
        Revision(hooks={"BeforeInstall": hook, "AfterInstall": "echo never"}),
        deploymentConfigName="CodeDeployDefault.OneAtATime",
    )
    wait_until("the hook runs", at_work.exists)
    assert shop.deploy.stop_deployment(deploymentId=deployment_id)["status"] == "Pending"
    go_on.touch()
    ended = shop.ended(deployment_id)
    assert ended["status"] == "Stopped"
    assert ended["errorInformation"]["code"] == "MANUAL_STOP"
    assert ended["deploymentOverview"]["Skipped"] == 2
    first = next(host.name for host in hosts if "Succeeded" in shop.statuses(deployment_id, host.name))
    events = shop.events(deployment_id, first)
    assert events["BeforeInstall"]["status"] == "Succeeded"
    assert {events[name]["status"] for name in ("Install", "AfterInstall", "ValidateService")} == {"Skipped"}
    assert shop.deploy.stop_deployment(deploymentId=deployment_id)["status"] == "Succeeded"


def test_a_busy_group_takes_no_second_deployment(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S6.2: the message holds the active deployment's id where deployment tools look for it."""
    shop = shop_of(shared_plane, hosts_of(shared_plane))
    go_on = tmp_path / "go-on"
    first = shop.start(Revision(hooks={"AfterInstall": f"while [ ! -e {go_on} ]; do sleep 0.05; done"}))
    with pytest.raises(shop.deploy.exceptions.DeploymentLimitExceededException) as refused:
        shop.start(Revision())
    assert f"already has an active Deployment '{first}'" in str(refused.value)
    go_on.touch()
    assert shop.ended(first)["status"] == "Succeeded"
    _, second = shop.run(Revision())
    assert second["status"] == "Succeeded"


def test_two_applications_deploy_to_one_host_at_once(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S6.4: each waits, in a hook, for the other to be in its hook too."""
    hosts = hosts_of(shared_plane)
    shops = [shop_of(shared_plane, hosts) for _ in range(2)]
    here = [tmp_path / "one", tmp_path / "two"]

    def meet(mine: Path, other: Path) -> str:
        return f"touch {mine}; for i in $(seq 200); do [ -e {other} ] && exit 0; sleep 0.05; done; exit 1"

    ids = [
        shop.start(
            Revision(hooks={"BeforeInstall": meet(*pair)}, files={"x": "x"}, install={"x": str(tmp_path / shop.name)})
        )
        for shop, pair in zip(shops, (here, here[::-1]), strict=True)
    ]
    assert [shop.ended(one)["status"] for shop, one in zip(shops, ids, strict=True)] == ["Succeeded"] * 2
    assert all((tmp_path / shop.name / "x").exists() for shop in shops)


def test_only_outdated_hosts_are_brought_up_to_date(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S6.17: a host that joined later is deployed to; one that is current is left alone."""
    hosts = hosts_of(shared_plane, 2)
    shop = shop_of(shared_plane, hosts[:1])
    notes = tmp_path / "notes"
    revision = shop.push(Revision(hooks={"AfterInstall": f"echo $DEPLOYMENT_ID >> {notes}"}))
    shop.run(revision)
    shop.join(hosts[1])
    deployment_id, ended = shop.run(revision, updateOutdatedInstancesOnly=True)
    assert ended["deploymentOverview"]["Succeeded"] == 1
    assert shop.target(deployment_id, hosts[1].name)["status"] == "Succeeded"
    assert notes.read_text().split().count(deployment_id) == 1


def test_hooks_see_what_the_documentation_promises(
    tmp_path: Path, shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S14.11."""
    hosts = hosts_of(shared_plane)
    shop = shop_of(shared_plane, hosts)
    seen = tmp_path / "seen"
    deployment_id, _ = shop.run(Revision(hooks={"AfterInstall": f"env > {seen}"}))
    environ = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
    group = shop.deploy.get_deployment_group(applicationName=shop.name, deploymentGroupName="prod")
    assert environ["LIFECYCLE_EVENT"] == "AfterInstall"
    assert environ["DEPLOYMENT_ID"] == deployment_id
    assert environ["APPLICATION_NAME"] == shop.name
    assert environ["DEPLOYMENT_GROUP_NAME"] == "prod"
    assert environ["DEPLOYMENT_GROUP_ID"] == group["deploymentGroupInfo"]["deploymentGroupId"]
    assert environ["BUNDLE_BUCKET"] == shop.bucket
    assert hosts[0].keys[1] not in seen.read_text()


def test_a_host_starts_work_at_once(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    """A parked poll is woken: nobody waits until it would be answered anyway."""
    hosts = hosts_of(shared_plane)
    shop = shop_of(shared_plane, hosts)
    shop.run(Revision())
    began = time.time()
    deployment_id, ended = shop.run(Revision())
    assert ended["status"] == "Succeeded"
    first = shop.events(deployment_id, hosts[0].name)["ApplicationStop"]
    assert first["startTime"].timestamp() - began < HOLD


def test_a_broken_revision_is_rolled_back_by_itself(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """S5: with the aws CLI, and seen on the hosts; `longshore watch` says what becomes of it."""
    hosts = hosts_of(shared_plane, 2, views=True)
    shop = shop_of(shared_plane, hosts)
    group = ("--application-name", shop.name, "--current-deployment-group-name", "prod")
    on_failure = "enabled=true,events=DEPLOYMENT_FAILURE"
    shared_plane.aws("deploy", "update-deployment-group", *group, "--auto-rollback-configuration", on_failure)

    def revision(text: str, *hooks: tuple[str, str]) -> Revision:
        return Revision(files={"page": text}, install={"page": "/srv/shop"}, hooks=dict(hooks))

    good = shop.push(revision("first"))
    assert shop.run(good)[1]["status"] == "Succeeded"
    failed, ended = shop.run(revision("second", ("ValidateService", "exit 1")))
    assert ended["status"] == "Failed"
    rollback = ended["rollbackInfo"]["rollbackDeploymentId"]
    assert shop.ended(rollback)["status"] == "Succeeded"
    told = shared_plane.aws("deploy", "get-deployment", "--deployment-id", rollback)["deploymentInfo"]
    assert told["creator"] == "codeDeployRollback"
    assert told["rollbackInfo"]["rollbackTriggeringDeploymentId"] == failed
    assert told["revision"] == good
    assert [host.view.written("/srv/shop/page").read_text() for host in hosts if host.view] == ["first", "first"]
    watched = shared_plane.run("longshore", "watch", failed, check=False)
    assert f"longshore watch {rollback}" in watched.stdout
    assert watched.returncode == 1
