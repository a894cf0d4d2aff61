"""The server's side: the contract's scripts, SSH sessions, run-once jobs, `enstratus.cfg`."""
