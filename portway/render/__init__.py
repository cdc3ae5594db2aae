"""Text from a Cluster and one node of it: every file a node should have.

Pure except for reading ``templates/`` and the sources of the node programs. Templates
hold layout; a template that needs a decision finds it made in the Cluster.
"""
