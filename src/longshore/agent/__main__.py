"""`python -m longshore.agent run --config FILE`."""

import sys

from longshore.agent.main import run

sys.exit(run(sys.argv[1:]))
