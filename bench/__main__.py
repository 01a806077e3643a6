"""All benchmarks, one after the other."""

from bench import agents, api, engine, fleet, footprint, install, listing, local, one_host, report

if __name__ == "__main__":
    report.main(
        local.benchmark,
        one_host.benchmark,
        agents.benchmark,
        api.benchmark,
        listing.benchmark,
        fleet.benchmark,
        install.benchmark,
        footprint.benchmark,
        engine.benchmark,
    )
