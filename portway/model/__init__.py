"""Plain values and rules: the stack, settings, clients and the Cluster they make.

Pure: it calls neither AWS nor nodes, and imports no program of the nodes.
"""
