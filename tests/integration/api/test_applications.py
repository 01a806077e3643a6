"""Applications (server.md S1.1, S1.5–S1.8, S1.12, S1.17–S1.19, S12.1–6)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from longshore.store import tables

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_get_reports_what_create_made(codedeploy: Any, clock: Any) -> None:
    """S1.6, S1.17, S1.18: a UUIDv4 id, Server by default, no GitHub account."""
    made = codedeploy.create_application(applicationName="shop")
    found = codedeploy.get_application(applicationName="shop")["application"]
    assert UUID4.fullmatch(made["applicationId"])
    assert found.pop("createTime").timestamp() == clock.now
    assert found == {
        "applicationId": made["applicationId"],
        "applicationName": "shop",
        "linkedToGitHub": False,
        "computePlatform": "Server",
    }


@pytest.mark.parametrize("platform", ["Server", "Lambda", "ECS"])
def test_every_compute_platform(codedeploy: Any, platform: str) -> None:
    """S12.1: Server, Lambda and ECS."""
    codedeploy.create_application(applicationName="shop", computePlatform=platform)
    assert codedeploy.get_application(applicationName="shop")["application"]["computePlatform"] == platform


def test_unknown_compute_platform(codedeploy: Any, refused: Any) -> None:
    """S12.1: anything else is InvalidComputePlatform."""
    with refused("InvalidComputePlatform"):
        codedeploy.create_application(applicationName="shop", computePlatform="Mainframe")


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "a/b", "a:b"])
def test_bad_names(codedeploy: Any, refused: Any, name: str) -> None:
    """S1.1: 1 to 100 of A-Za-z0-9._+=,@-."""
    with refused("InvalidApplicationName" if name else "ApplicationNameRequired"):
        codedeploy.create_application(applicationName=name)


def test_missing_name(codedeploy: Any, refused: Any) -> None:
    """S12.1, S12.5: a missing name is ApplicationNameRequired, also where the model does not mark it."""
    for call in (codedeploy.create_application, codedeploy.get_application, codedeploy.update_application):
        with refused("ApplicationNameRequired"):
            call()


def test_names_are_unique_and_case_sensitive(codedeploy: Any, refused: Any) -> None:
    """S1.1, S1.5: one of each name; case counts."""
    codedeploy.create_application(applicationName="shop")
    codedeploy.create_application(applicationName="Shop")
    with refused("ApplicationAlreadyExists") as why:
        codedeploy.create_application(applicationName="shop")
    assert "shop" in why[0]


def test_regions_do_not_see_each_other(codedeploy: Any, elsewhere: Any, refused: Any) -> None:
    """S1.1: the same name may be used in other regions."""
    codedeploy.create_application(applicationName="shop")
    with refused("ApplicationDoesNotExist"):
        elsewhere.get_application(applicationName="shop")
    elsewhere.create_application(applicationName="shop")
    elsewhere.delete_application(applicationName="shop")
    assert codedeploy.list_applications()["applications"] == ["shop"]


def test_limit(tight: Any, refused: Any) -> None:
    """S1.12, S1.16: no more applications than the account may have."""
    for name in ("a", "b", "c"):
        tight.create_application(applicationName=name)
    with refused("ApplicationLimitExceeded"):
        tight.create_application(applicationName="d")
    with refused("ApplicationAlreadyExists"):  # S0.7: what exists comes before limits
        tight.create_application(applicationName="a")


def test_unknown_application(codedeploy: Any, refused: Any) -> None:
    """S12.2, S12.3, S12.5: ApplicationDoesNotExist names the application."""
    with refused("ApplicationDoesNotExist") as why:
        codedeploy.get_application(applicationName="nope")
    assert "nope" in why[0]
    codedeploy.create_application(applicationName="shop")
    with refused("ApplicationDoesNotExist"):
        codedeploy.batch_get_applications(applicationNames=["shop", "nope"])
    with refused("ApplicationDoesNotExist"):
        codedeploy.update_application(applicationName="nope", newApplicationName="shop2")


def test_batch_get_keeps_the_order(codedeploy: Any) -> None:
    """S12.3: in the order of the input."""
    for name in ("a", "b", "c"):
        codedeploy.create_application(applicationName=name)
    found = codedeploy.batch_get_applications(applicationNames=["c", "a", "c"])["applicationsInfo"]
    assert [one["applicationName"] for one in found] == ["c", "a", "c"]


def test_batch_get_limit(codedeploy: Any, refused: Any) -> None:
    """S12.0b: 100 applications at once."""
    with refused("BatchLimitExceeded"):
        codedeploy.batch_get_applications(applicationNames=[f"a{n}" for n in range(101)])


def test_list_pages(tight: Any, pages: Any) -> None:
    """S12.0a, S12.4: names in order, page after page; the last has no token."""
    for name in ("c", "a", "b"):
        tight.create_application(applicationName=name)
    assert pages(tight.list_applications, "applications") == [["a", "b"], ["c"]]


def test_pages_are_stable_while_rows_come_and_go(tight: Any) -> None:
    """S12.0a: a token is a place in the order, not a count."""
    for name in ("b", "c", "d"):
        tight.create_application(applicationName=name)
    token = tight.list_applications()["nextToken"]
    tight.delete_application(applicationName="b")
    tight.create_application(applicationName="a")
    assert tight.list_applications(nextToken=token) | {"ResponseMetadata": None} == {
        "applications": ["d"],
        "ResponseMetadata": None,
    }


def test_tokens_are_good_for_their_own_list_only(tight: Any, refused: Any) -> None:
    """S12.0a: an unknown token, a garbled one, or another list's is InvalidNextToken."""
    for name in ("a", "b", "c"):
        tight.create_application(applicationName=name)
    token = tight.list_applications()["nextToken"]
    for wrong in ("x", token[:-1], token + "A", "é", ""):
        with refused("InvalidNextToken"):
            tight.list_applications(nextToken=wrong)
    with refused("InvalidNextToken"):
        tight.list_deployment_configs(nextToken=token)


def test_rename(codedeploy: Any, group: Any, deploy: Any, refused: Any, store: Any) -> None:
    """S1.7, S12.5: id, groups, revisions and past deployments follow; the old name is free."""
    made = codedeploy.create_application(applicationName="shop", tags=[{"Key": "team", "Value": "a"}])
    group_id = group("shop", "web")
    past = deploy("shop", "web", "Succeeded")
    codedeploy.update_application(applicationName="shop", newApplicationName="store")
    with refused("ApplicationDoesNotExist"):
        codedeploy.get_application(applicationName="shop")
    found = codedeploy.get_application(applicationName="store")["application"]
    assert found["applicationId"] == made["applicationId"]
    groups = codedeploy.get_deployment_group(applicationName="store", deploymentGroupName="web")
    assert groups["deploymentGroupInfo"]["deploymentGroupId"] == group_id
    names = select(tables.deployments.c.application_name).where(tables.deployments.c.id == past)
    assert store.read(lambda tx: tx.execute(names).scalar_one()) == "store"
    codedeploy.create_application(applicationName="shop")


def test_rename_to_a_taken_name(codedeploy: Any, refused: Any) -> None:
    """S12.5: ApplicationAlreadyExists; to itself is fine."""
    for name in ("a", "b"):
        codedeploy.create_application(applicationName=name)
    with refused("ApplicationAlreadyExists"):
        codedeploy.update_application(applicationName="a", newApplicationName="b")
    codedeploy.update_application(applicationName="a", newApplicationName="a")
    with refused("InvalidApplicationName"):
        codedeploy.update_application(applicationName="a", newApplicationName="no good")


def test_delete_takes_everything_along(codedeploy: Any, app: str, group: Any, deploy: Any, store: Any) -> None:
    """S1.7, S1.19: groups, revisions, tags and ended deployments go; a new one has a new id."""
    before = codedeploy.get_application(applicationName=app)["application"]["applicationId"]
    group_id = group(app, "web", tags=[{"Key": "team", "Value": "a"}])
    deploy(app, "web", "Failed")
    codedeploy.register_application_revision(applicationName=app, revision=_github("a" * 40))
    codedeploy.delete_application(applicationName=app)
    for table, column, value in (
        (tables.deployment_groups, tables.deployment_groups.c.application_id, before),
        (tables.revisions, tables.revisions.c.application_id, before),
        (tables.deployments, tables.deployments.c.application_id, before),
        (tables.resource_tags, tables.resource_tags.c.resource_id, group_id),
    ):
        assert _count(store, table, column == value) == 0
    codedeploy.create_application(applicationName=app)
    assert codedeploy.get_application(applicationName=app)["application"]["applicationId"] != before


def test_delete_asks_active_deployments_to_stop(
    codedeploy: Any, app: str, group: Any, deploy: Any, store: Any, clock: Any
) -> None:
    """S12.6: a deployment under way stays, is asked to stop and is due at once."""
    group(app, "web")
    active = deploy(app, "web", "InProgress")
    codedeploy.delete_application(applicationName=app)
    query = select(tables.deployments).where(tables.deployments.c.id == active)
    row = store.read(lambda tx: tx.execute(query).one())
    assert row.status == "InProgress"
    assert row.stop_requested_by == "arn:aws:iam::123456789012:user/tester"
    assert row.wake_at == clock.now


def test_delete_of_an_unknown_application(codedeploy: Any) -> None:
    """S12.6: success."""
    assert codedeploy.delete_application(applicationName="nope")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_times_are_milliseconds(codedeploy: Any, clock: Any) -> None:
    """S0.3: epoch seconds with milliseconds."""
    clock.now = 1_750_000_001.711
    codedeploy.create_application(applicationName="shop")
    found = codedeploy.get_application(applicationName="shop")["application"]["createTime"]
    assert found.astimezone(UTC) == datetime.fromtimestamp(1_750_000_001.711, UTC)


def _github(commit: str) -> dict[str, Any]:
    return {"revisionType": "GitHub", "gitHubLocation": {"repository": "shop/web", "commitId": commit}}


def _count(store: Any, table: Any, condition: Any) -> int:
    query = select(func.count()).select_from(table).where(condition)
    return int(store.read(lambda tx: tx.execute(query).scalar_one()))
