"""Programs that a run starts: pyinfra as its user would, and the client."""
