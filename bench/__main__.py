"""All benchmarks, one after the other."""

from bench import agents, api, fleet, install, one_host, report

report.main(one_host.benchmark, agents.benchmark, api.benchmark, fleet.benchmark, install.benchmark)
