"""IAM: users, roles, their keys and their policies. Rows of the control plane, not of the world around it."""
