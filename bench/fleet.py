"""What 50 hosts cost on one machine: real agents, against a shell loop (the floor) and against Ansible (the peer)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bench import bundles, hosts, report, setting
from bench.ansible import FORKS, Ansible, Spent, timed
from bench.bundles import HOOKS, Bundle
from bench.report import Figure, Report

_HOSTS = 50
_RUNS = 3
#: One takes minutes, and Ansible is far away: more only for those who ask.
_PEER_RUNS = int(os.environ.get("BENCH_ANSIBLE_RUNS", "1"))
#: How many the shell loop works on at once: one a core.
_AT_ONCE = 2
_LOOK_EVERY = 0.05


def benchmark() -> Report:
    """The three take turns, so that each meets the machine in the same mood."""
    ours: list[Spent] = []
    server_cpu: list[float] = []
    floors: list[Spent] = []
    peers: list[Spent] = []
    with setting.ground() as ground:
        bundle = bundles.make(ground, files=200, size=2_000_000)
        for directory in (ground / "hosts", ground / "loop"):
            setting.make_unrelated(directory)
        loop = _ShellLoop(ground / "loop", bundle)
        ansible = Ansible(ground / "ansible", bundle, count=_HOSTS)
        with setting.server(ground) as server:
            report.note(f"fleet: starting {_HOSTS} agents")
            with hosts.running(server, ground / "hosts", count=_HOSTS, role="fleet") as fleet:
                codedeploy = server.client("codedeploy")
                revision = setting.upload(server, bundle.path, bundle_type="tgz")
                group = setting.make_group(codedeploy, "fleet")
                for turn in range(_RUNS + 1):
                    report.note(f"fleet: turn {turn + 1} of {_RUNS + 1}")
                    setting.settle()
                    began = server.cpu_seconds(), sum(host.cpu_seconds() for host in fleet)
                    seconds = setting.deploy(codedeploy, group, revision, look_every=_LOOK_EVERY)
                    ended = server.cpu_seconds(), sum(host.cpu_seconds() for host in fleet)
                    ours.append(Spent(seconds=seconds, cpu_seconds=sum(ended) - sum(began)))
                    server_cpu.append(ended[0] - began[0])
                    setting.settle()
                    floors.append(loop.run())
        for turn in range(_PEER_RUNS):
            report.note(f"fleet: ansible, run {turn + 1} of {_PEER_RUNS}")
            peers.append(ansible.run())
    return _report(ours[1:], server_cpu[1:], floors[1:], peers)


class _ShellLoop:
    """Nothing but the work: no network, no checks, no record of what was done."""

    def __init__(self, ground: Path, bundle: Bundle) -> None:
        self._ground = ground
        self._bundle = bundle
        self._runs = 0
        for number in range(_HOSTS):
            (ground / f"host-{number:03}").mkdir(parents=True)

    def run(self) -> Spent:
        """All hosts once."""
        self._runs += 1
        one = self._ground / "one.sh"
        before, after, validate = (f"scripts/{hook}.sh >>../log" for hook in HOOKS)
        one.write_text(
            "set -e\n"
            'cd "$1"\n'
            f"mkdir archive-{self._runs}\n"
            f"tar -xzf {shlex.quote(str(self._bundle.path))} -C archive-{self._runs}\n"
            f"cd archive-{self._runs}\n"
            f"./{before}\n"
            "rm -rf ../app\n"
            "mkdir ../app\n"
            "cp -a files/. ../app\n"
            f"./{after}\n"
            f"./{validate}\n"
        )
        every = shlex.quote(str(self._ground))
        return timed(["sh", "-c", f"ls -d {every}/host-* | xargs -n 1 -P {_AT_ONCE} sh {shlex.quote(str(one))}"], {})


def _report(ours: list[Spent], server_cpu: list[float], floors: list[Spent], peers: list[Spent]) -> Report:
    def figure(what: str, peer: str, theirs: list[Spent], member: str) -> Figure:
        return report.of_runs(
            what,
            "s",
            [getattr(one, member) for one in ours],
            peer=peer,
            theirs=[getattr(one, member) for one in theirs],
            goal=_goal if (peer, member) == ("shell loop", "seconds") else None,
        )

    return Report(
        name=f"{_HOSTS} hosts on one machine, AllAtOnce: 200 files, 2 MB, three scripts",
        setting=(
            f"Medians of {_RUNS} runs after one of warm-up, which installed the first revision: each run removes the "
            f"previous files, unpacks, copies and runs the scripts, {setting.SETTLE:.0f} s after the other's.",
            "Ours: real server, one real agent process a host (already polling), bundle by HTTP from the server's own "
            f"S3; status asked for every {_LOOK_EVERY * 1000:.0f} ms. CPU: server, agents, workers and scripts.",
            f"Floor: tar, rm, cp -a and the scripts in a shell loop, {_AT_ONCE} hosts at a time (xargs -P {_AT_ONCE}).",
            f"Peer: ansible-playbook, local connection, {FORKS} forks, pipelining, no facts; runs: {_PEER_RUNS}.",
        ),
        figures=(
            figure("wall time", "shell loop", floors, "seconds"),
            figure("CPU", "shell loop", floors, "cpu_seconds"),
            report.of_runs("CPU of the server alone", "s", server_cpu),
            figure("wall time", "Ansible", peers, "seconds"),
            figure("CPU", "Ansible", peers, "cpu_seconds"),
        ),
    )


def _goal(figure: Figure) -> tuple[str, bool]:
    assert figure.ratio is not None
    return ("at most 1.5×", figure.ratio <= 1.5)


if __name__ == "__main__":
    report.main(benchmark)
