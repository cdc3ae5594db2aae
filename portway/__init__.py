"""Portway: load balancers for a TCP message application on AWS."""
