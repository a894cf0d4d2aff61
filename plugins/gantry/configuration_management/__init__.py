"""Configuration management: applies its tier's run list to a bare server, before services are installed.

A kind of configuration management is a `manager.Manager`: `chef` is one, `script` another.
"""
