"""What makes a bare server what its tier's run list says, before any service is installed.

A kind of configuration management is a `manager.Manager`: `chef` is one, `script` another.
"""
