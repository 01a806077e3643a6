"""AppSpec files: what a revision says should happen to it. Shared by the server and the host agent.

`parse_server` reads the EC2/On-Premises form. Nothing here touches the file system or knows of a deployment.
"""

from longshore.appspec.acl import AclEntry
from longshore.appspec.problems import AppSpecError, Problem
from longshore.appspec.selinux import Context
from longshore.appspec.server import FileMapping, Permission, Script, ServerAppSpec, parse_server

__all__ = [
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
