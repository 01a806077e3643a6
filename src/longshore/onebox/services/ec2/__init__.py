"""EC2 as an AWS client sees it, over hosts of this machine."""

from longshore.onebox.services.ec2.ec2 import Ec2
from longshore.onebox.services.ec2.service import build
from longshore.onebox.services.ec2.values import Instance, State

__all__ = ["Ec2", "Instance", "State", "build"]
