"""Fixtures of the integration tests."""

from tests.integration.artifacts import artifacts

__all__ = ["artifacts"]
