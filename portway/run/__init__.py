"""One run: the Cluster its deploys work on, and the options it was started with."""
