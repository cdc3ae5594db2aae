"""Releases, built with pip and started by themselves."""
