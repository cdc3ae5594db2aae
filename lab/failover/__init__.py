"""Fail-over put to the proof: what goes wrong, what clients see of it, and a report."""
