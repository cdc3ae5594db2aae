"""The whole system on one machine: hosts, a VPC, AWS, an operator, a customer."""
