"""The agent's version, without the cost of reading package metadata at start."""

VERSION = "0.1.0"
