"""What docs/compatibility.md says of single operations; everything else about them is read off the code."""

from __future__ import annotations

#: Answered as CodeDeploy answers, for want of what they are about.
NOT_YET = {
    "PutLifecycleEventHookExecutionStatus": (
        "no hook here is a function's to answer for yet: UnsupportedActionForDeploymentTypeException"
    ),
}

DIFFERS = {
    "CreateDeployment": "Lambda and ECS are refused for now, see below",
    "DeleteResourcesByExternalId": (
        "nothing is deleted, and that succeeds: only AWS CloudFormation gives external ids, no public operation sets "
        "one, so nothing here carries one"
    ),
    "ListGitHubAccountTokenNames": (
        "AWS's console stores tokens, no operation does; here `longshore github-token put` does"
    ),
}
