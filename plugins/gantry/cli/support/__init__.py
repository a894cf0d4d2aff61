"""Shared by commands: options, the project's definitions, connections, the console."""
