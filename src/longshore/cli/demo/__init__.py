"""`longshore demo`: the main job, shown on this machine with the real server, agents and aws CLI."""
