"""Server access and on-server agent: shell scripts, SSH sessions, run-once jobs, `enstratus.cfg`."""
