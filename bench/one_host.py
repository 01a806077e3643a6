"""How long a user waits for one host: create-deployment until Succeeded, a revision with three trivial hooks."""

from __future__ import annotations

import statistics

from bench import bundles, hosts, report, setting
from bench.ansible import Ansible
from bench.report import Figure, Report

_WARM_UP = 3
_RUNS = 30
_PEER_RUNS = 5
#: How often the status is asked for: below what people notice, and too rarely to slow the server.
_LOOK_EVERY = 0.02


def benchmark() -> Report:
    """Real server, real agent, boto3; then Ansible with the same bundle and steps."""
    with setting.ground() as ground:
        bundle = bundles.make(ground, files=3, size=3000)
        with setting.server(ground) as server, hosts.running(server, ground / "hosts", count=1, role="one"):
            codedeploy = server.client("codedeploy")
            revision = setting.upload(server, bundle.path, bundle_type="tgz")
            group = setting.make_group(codedeploy, "one")
            report.note(f"one host: {_WARM_UP + _RUNS} deployments")
            took = [
                setting.deploy(codedeploy, group, revision, look_every=_LOOK_EVERY) for _ in range(_WARM_UP + _RUNS)
            ][_WARM_UP:]
        report.note(f"one host: {_PEER_RUNS + 1} runs of ansible-playbook")
        ansible = Ansible(ground / "ansible", bundle, count=1)
        ansible.run()
        theirs = [ansible.run().seconds for _ in range(_PEER_RUNS)]
    median, worst = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    peer = "ansible-playbook"
    return Report(
        name="one host, three trivial hooks: create-deployment until Succeeded",
        setting=(
            f"{_RUNS} deployments after {_WARM_UP} of warm-up, one after the other, each over the one before; status "
            f"asked for every {_LOOK_EVERY * 1000:.0f} ms.",
            f"Peer: {_PEER_RUNS} runs of ansible-playbook after one of warm-up, local connection, pipelining, no "
            "facts: remove, unpack, copy, three scripts.",
        ),
        figures=(
            Figure(
                what="median",
                unit="s",
                ours=median,
                peer=peer,
                theirs=statistics.median(theirs),
                runs=tuple(took),
                their_runs=tuple(theirs),
                goal=("under 1 s", median < 1),
            ),
            Figure(what="95th percentile", unit="s", ours=worst, peer=f"{peer}, worst", theirs=max(theirs)),
        ),
    )


if __name__ == "__main__":
    report.main(benchmark)
