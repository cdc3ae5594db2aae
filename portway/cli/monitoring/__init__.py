"""Files for Prometheus and Grafana, made from the metrics that the code declares.

A name that no program writes is an error here.
"""
