"""The operations: each checks, changes a group in one commit, and returns; the keeper does the rest."""
