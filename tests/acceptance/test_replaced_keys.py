"""A host's own keys, taken back and replaced while it is at work: nothing that its hooks did is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.test_probes import metrics
from tests.acceptance.world import ControlPlane, Host, Revision, Shop, wait_until

Hosts = Callable[..., list[Host]]
Shops = Callable[[ControlPlane, list[Host]], Shop]


def test_what_a_hook_came_to_waits_for_the_keys_that_replace_those_taken_back(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops, tmp_path: Path
) -> None:
    [host] = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    iam = own_plane.client("iam")
    began, go_on = tmp_path / "began", tmp_path / "go-on"
    hook = f"touch {began}; echo >> {tmp_path}/ran; while [ ! -e {go_on} ]; do sleep 0.05; done"
    deployment = shop.start(Revision(hooks={"BeforeInstall": hook}))
    wait_until("the hook runs", began.exists)
    iam.delete_access_key(UserName=host.name, AccessKeyId=host.keys[0])
    go_on.touch()
    # More often than a refusal is put up with that nothing but a hand on the host could cure.
    refused = re.compile(r"report_failed BeforeInstall try=5: .*UnrecognizedClientException")
    wait_until("the report is refused", lambda: refused.search(host.log), seconds=60)
    assert shop.info(deployment)["status"] == "InProgress"

    made = iam.create_access_key(UserName=host.name)["AccessKey"]
    config = host.folder / "agent.yml"
    text = config.read_text().replace(host.keys[0], made["AccessKeyId"]).replace(host.keys[1], made["SecretAccessKey"])
    config.write_text(text)

    assert shop.ended(deployment)["status"] == "Succeeded"
    assert (tmp_path / "ran").read_text() == "\n"


def test_a_command_that_came_while_the_keys_were_no_good_is_carried_out_when_they_are(
    own_plane: ControlPlane, hosts_of: Hosts, shop_of: Shops
) -> None:
    """The poll that was held brings it; nothing that it is about can be asked for then."""
    [host] = hosts_of(own_plane)
    shop = shop_of(own_plane, [host])
    assert shop.ended(shop.start(Revision()))["status"] == "Succeeded"
    wait_until("its poll is held again", lambda: metrics(own_plane)["longshore_held_polls",] == 1)
    key = {"UserName": host.name, "AccessKeyId": host.keys[0]}
    iam = own_plane.client("iam")
    iam.update_access_key(**key, Status="Inactive")
    deployment = shop.start(Revision(hooks={"ValidateService": "true"}))
    wait_until("the host has the command", lambda: host.log.count("command.received ApplicationStop") == 2)
    wait_until("its polls are refused", lambda: "poll.failed try=2" in host.log)
    iam.update_access_key(**key, Status="Active")
    assert shop.ended(deployment)["status"] == "Succeeded"
