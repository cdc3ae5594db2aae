"""The load balancers: deploying, verifying, handing the address over, asking HAProxy.

It knows nothing of databases, nor of how the application is installed.
"""
