"""AppSpec files: what a revision says should happen to it. Shared by the server and the host agent.

`parse_server` reads the EC2/On-Premises form. Nothing here touches the file system or knows of a deployment.
"""

from longshore.appspec.errors import AppSpecError
from longshore.appspec.server import Context, FileMapping, Permission, Script, ServerAppSpec, parse_server

__all__ = ["AppSpecError", "Context", "FileMapping", "Permission", "Script", "ServerAppSpec", "parse_server"]
