"""`longshore local`: a deployment on this host with no control plane, by the agent's own executor (agent.md 9)."""
