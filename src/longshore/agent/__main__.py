"""`python -m longshore.agent run --config FILE`, or `… local …`; what the agent's one-file executable runs."""

import sys

if sys.argv[1:2] == ["local"]:
    from longshore.agent.local.command import run

    sys.exit(run(sys.argv[2:]))
else:
    from longshore.agent.main import run as run_agent

    sys.exit(run_agent(sys.argv[1:]))
