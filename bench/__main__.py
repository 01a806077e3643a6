"""All benchmarks, one after the other."""

from bench import agents, fleet, one_host, report

report.main(one_host.benchmark, agents.benchmark, fleet.benchmark)
