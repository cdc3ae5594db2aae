"""The whole system on one machine: hosts, a VPC, AWS, an operator, customers.

It must not import Portway, which it judges. Its packages have floors, and an import may
only go down, to a package on a lower line:

    cli
    endurance
    failover
    traffic, lifecycle
    artifactory, faults
    machines
    aws
    vpc
    ground
    plan
    errors, vendor
"""
