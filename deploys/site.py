"""Everything, in order: the database, the application, the load balancers.

Each stage begins when the one before it has ended on every node; a failure stops the
rest.
"""

from pyinfra import local

from portway.ops.ordering import barrier

barrier(name="First the database")
local.include("deploys/db.py")
barrier(name="The database is ready; now the application")
local.include("deploys/app.py")
barrier(name="The application runs; now the load balancers")
local.include("deploys/lb.py")
