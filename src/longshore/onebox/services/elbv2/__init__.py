"""Elastic Load Balancing, version 2: Application and Network Load Balancers over Envoy.

A load balancer has an address of its own in 127.128.0.0/16, which is its DNS name too. The health of targets is Envoy's
own look at them: by what DescribeTargetHealth says, the traffic goes.
"""

from longshore.onebox.services.elbv2.service import Elbv2

__all__ = ["Elbv2"]
