"""`longshore plan`: what it says before a deployment is what the deployment then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.acceptance.world import ControlPlane, Host, Revision, Shop, service_role

Hosts = Callable[..., list[Host]]
Shops = Callable[..., Shop]


def plan(plane: ControlPlane, shop: Shop, revision: dict[str, Any], *options: str, code: int = 0) -> dict[str, Any]:
    where = ",".join(f"{name}={value}" for name, value in revision["s3Location"].items())
    named = ("--application-name", shop.name, "--deployment-group-name", "prod", "--s3-location", where)
    done = plane.run("longshore", "plan", *named, *options, "--output", "json", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def codes(made: dict[str, Any]) -> dict[str, bool]:
    """The problems' codes, and whether each is fatal."""
    return {problem["code"]: problem["isFatal"] for problem in made["problems"]}


def test_a_plan_tells_what_the_deployment_then_does(
    shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    hosts = hosts_of(shared_plane, 4)
    shop = shop_of(shared_plane, hosts)
    first = shop.push(Revision(hooks={"ValidateService": "sleep 0.2"}))
    half = ("--deployment-config-name", "CodeDeployDefault.HalfAtATime")

    made = plan(shared_plane, shop, first, *half)
    assert made["problems"] == []
    assert (made["waves"], made["instancesAtOnce"], made["minimumHealthyInstances"]) == (2, 2, 2)
    assert {one["installedRevision"] for one in made["instances"]} == {"UNKNOWN"}
    assert not {"currentRevision", "estimatedSeconds"} & set(made)
    assert shop.deploy.list_deployments(applicationName=shop.name, deploymentGroupName="prod")["deployments"] == []

    deployment_id, ended = shop.run(first, deploymentConfigName="CodeDeployDefault.HalfAtATime")
    assert ended["status"] == "Succeeded"
    began = {
        host.name: min(e["startTime"] for e in shop.events(deployment_id, host.name).values() if "startTime" in e)
        for host in hosts
    }
    first_wave = {one["instanceName"] for one in made["instances"] if one["wave"] == 1}
    assert set(sorted(began, key=lambda name: began[name])[:2]) == first_wave

    second = shop.push(Revision())
    made = plan(shared_plane, shop, second)
    assert made["currentRevision"] == first
    assert {one["installedRevision"] for one in made["instances"]} == {"CURRENT"}
    assert all(one["isHealthy"] and one["lastSeenTime"] for one in made["instances"])
    assert made["estimatedSeconds"] >= 0.2
    assert {one["installedRevision"] for one in plan(shared_plane, shop, first)["instances"]} == {"PLANNED"}
    assert len(plan(shared_plane, shop, second, "--update-outdated-instances-only")["instances"]) == 4
    assert plan(shared_plane, shop, first, "--update-outdated-instances-only")["instances"] == []


def test_a_plan_says_what_will_make_it_fail(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    shop = shop_of(shared_plane, [])
    good = shop.push(Revision())
    assert codes(plan(shared_plane, shop, good, code=1)) == {"NO_INSTANCES": True}

    hosts = hosts_of(shared_plane, 2)
    for host in hosts:
        shop.join(host)
    missing = {"revisionType": "S3", "s3Location": {**good["s3Location"], "key": "nowhere.zip"}}
    assert codes(plan(shared_plane, shop, missing, code=1)) == {"REVISION_MISSING": True}
    assert codes(plan(shared_plane, shop, shop.push(b"no archive"), code=1)) == {"APPSPEC_MISSING": True}

    impossible = ("--deployment-config-name", "all-of-them")
    shop.deploy.create_deployment_config(
        deploymentConfigName="all-of-them", minimumHealthyHosts={"type": "HOST_COUNT", "value": 2}
    )
    made = plan(shared_plane, shop, good, *impossible, code=1)
    assert codes(made) == {"HEALTH_CONSTRAINTS_INVALID": True}
    _, ended = shop.run(good, deploymentConfigName="all-of-them")
    assert ended["errorInformation"]["message"] == made["problems"][0]["message"]

    silent = shared_plane.client("longshore").create_access_key(userName="silent")["accessKey"]
    shop.deploy.register_on_premises_instance(instanceName="silent", iamUserArn=silent["userArn"])
    shop.deploy.add_tags_to_on_premises_instances(instanceNames=["silent"], tags=[{"Key": "app", "Value": shop.name}])
    one_at_a_time = ("--deployment-config-name", "CodeDeployDefault.OneAtATime")
    assert codes(plan(shared_plane, shop, good)) == {"AGENT_NOT_SEEN": False}, "AllAtOnce needs one success"
    assert codes(plan(shared_plane, shop, good, *one_at_a_time, code=1)) == {"AGENT_NOT_SEEN": True}


def test_a_plan_for_people(shared_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops) -> None:
    hosts = hosts_of(shared_plane, 2)
    shop = shop_of(shared_plane, hosts)
    place = shop.push(Revision())["s3Location"]
    named = ("--application-name", shop.name, "--deployment-group-name", "prod")
    where = f"bucket={place['bucket']},key={place['key']},bundleType=zip"
    said = shared_plane.run("longshore", "plan", *named, "--s3-location", where).stdout
    assert f"s3://{place['bucket']}/{place['key']}" in said
    assert "on 2 instance(s), at most 2 at a time: 1 wave; 0 stay up" in said
    assert all(host.name in said for host in hosts)
    assert "nothing speaks against it" in said

    unknown = shared_plane.run("longshore", "plan", "--application-name", "no", *named[2:], check=False)
    assert unknown.returncode == 1
    assert "Exception:" in unknown.stderr
    wrong = shared_plane.run("longshore", "plan", *named, "--s3-location", "bucket", check=False)
    assert wrong.returncode == 2
    assert "name=value" in wrong.stderr


def test_a_plan_tells_of_alarms_that_fire_or_cannot_be_read(shared_plane: ControlPlane, shop_of: Shops) -> None:
    """The role may not look, nobody knows the alarm, or it fires already: a deployment would be stopped."""
    role = service_role(shared_plane, name="looks", rights=False)
    shop = shop_of(shared_plane, [])
    watching = {"enabled": True, "alarms": [{"name": "errors"}]}
    shop.deploy.update_deployment_group(
        applicationName=shop.name,
        currentDeploymentGroupName="prod",
        serviceRoleArn=role,
        alarmConfiguration=watching,
    )
    made = plan(shared_plane, shop, shop.push(Revision()), code=1)
    assert codes(made)["ALARM_UNREADABLE"]
    assert any("cloudwatch:DescribeAlarms" in problem["message"] for problem in made["problems"])
    shared_plane.client("iam").attach_role_policy(
        RoleName="looks", PolicyArn="arn:aws:iam::aws:policy/service-role/AWSCodeDeployRole"
    )
    made = plan(shared_plane, shop, shop.push(Revision()), code=1)
    assert codes(made)["ALARM_UNREADABLE"]
    assert made["alarmConfiguration"]["alarms"] == [{"name": "errors"}]
    assert any("no alarm of this name: errors" in problem["message"] for problem in made["problems"])
    watched = {"Namespace": "shop", "MetricName": "errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    limit = {"Threshold": 5, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore"}
    alarms = shared_plane.client("cloudwatch")
    alarms.put_metric_alarm(AlarmName="errors", **watched, **limit)
    for state, told in (("OK", {}), ("ALARM", {"ALARM_ACTIVE": True})):
        alarms.set_alarm_state(AlarmName="errors", StateValue=state, StateReason="somebody says so")
        made = plan(shared_plane, shop, shop.push(Revision()), code=1)
        assert codes(made) == {"NO_INSTANCES": True, **told}
