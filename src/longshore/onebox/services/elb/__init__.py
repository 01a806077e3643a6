"""Elastic Load Balancing, version 2012-06-01: Classic Load Balancers, as far as deployments need them.

Each is kept as a load balancer of the newer kind, whose listeners have a target group each.
"""

from longshore.onebox.services.elb.service import Elb

__all__ = ["Elb"]
