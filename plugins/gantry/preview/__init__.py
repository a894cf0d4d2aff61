"""Preview of a launch: runs the steps' own decisions without executing them.

The entry point is `dry_run.rehearse`. It queries the cloud and the servers, and changes nothing on either.
"""
