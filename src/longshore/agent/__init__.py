"""The host agent: takes commands from the control plane and carries them out here. Imports nothing of the server.

Two kinds of process (agent.md 8 has the official agent's):

- the *poller* (`poller.py`), one a host, tiny, lives for ever: one parked poll, no deployment work;
- a *worker* (`worker.py`), forked for each running deployment: it fetches the specification, acknowledges, executes
  (`executor.py` → `bundle.py`, `installer.py`, `hooks.py`) and reports, in exactly one place.

What a crash must not lose stands in the journal (`journal.py`).
"""
