"""What onebox's services know is found again, all of a transaction or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.onebox.machinery.records import Owner, Records

OWNER = Owner("000000000000", "us-east-1")
OTHER = Owner("000000000000", "eu-west-1")


def test_what_a_block_wrote_is_there_after_a_restart_and_what_failed_is_not(tmp_path: Path) -> None:
    records = Records(tmp_path / "onebox.db")
    with records.transaction() as tx:
        tx.put("ec2.instance", OWNER, "i-2", {"state": "pending"})
        tx.put("ec2.instance", OWNER, "i-1", {"state": "running"})
        tx.put("ec2.instance", OWNER, "i-2", {"state": "running"})

    def fail() -> None:
        with records.transaction() as tx:
            tx.delete("ec2.instance", OWNER, "i-1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    records.close()

    records = Records(tmp_path / "onebox.db")
    with records.transaction() as tx:
        assert tx.all("ec2.instance", OWNER) == {"i-1": {"state": "running"}, "i-2": {"state": "running"}}
        tx.delete("ec2.instance", OWNER, "i-1")
        assert tx.get("ec2.instance", OWNER, "i-1") is None
    records.close()
    assert (tmp_path / "onebox.db").stat().st_mode & 0o077 == 0


def test_owners_do_not_see_each_others(tmp_path: Path) -> None:
    records = Records(tmp_path / "onebox.db")
    with records.transaction() as tx:
        tx.put("ec2.instance", OWNER, "i-1", {"n": 1})
        tx.put("ec2.instance", OTHER, "i-1", {"n": 2})
        assert tx.get("ec2.instance", OTHER, "i-1") == {"n": 2}
        assert list(tx.all("ec2.instance", OWNER)) == ["i-1"]
        assert tx.everyones("ec2.instance") == [(OTHER, "i-1", {"n": 2}), (OWNER, "i-1", {"n": 1})]
    records.close()


def test_what_lies_between_two_ids(tmp_path: Path) -> None:
    records = Records(tmp_path / "onebox.db")
    with records.transaction() as tx:
        for owner in (OWNER, OTHER):
            for number in range(5):
                tx.put("data", owner, f"m/{number}", {"number": number})
        tx.put("data", OWNER, "n/1", {"number": 9})
        assert list(tx.between("data", OWNER, "m/1", "m/3")) == ["m/1", "m/2", "m/3"]
        tx.delete_between("data", OWNER, "m/0", "m/2")
        assert list(tx.all("data", OWNER)) == ["m/3", "m/4", "n/1"]
        assert (tx.count("data", OWNER), tx.count("data", OTHER), tx.count("other", OWNER)) == (3, 5, 0)
    records.close()
