"""AppSpec files: what a revision says should happen to it. Shared by the server and the host agent.

`parse_server` reads the EC2/On-Premises form. `lambda_.parse_lambda` and `ecs.parse_ecs` read the others, and
`check.check` tells all that is wrong with any of them; they are not imported here, for an agent has no use for them.
Nothing in the package touches the file system or knows of a deployment.
"""

from longshore.appspec.acl import AclEntry
from longshore.appspec.document import MAX_BYTES
from longshore.appspec.problems import AppSpecError, Problem
from longshore.appspec.selinux import Context
from longshore.appspec.server import FileMapping, Permission, Script, ServerAppSpec, parse_server

__all__ = [
    "MAX_BYTES",
    "AclEntry",
    "AppSpecError",
    "Context",
    "FileMapping",
    "Permission",
    "Problem",
    "Script",
    "ServerAppSpec",
    "parse_server",
]
