"""What commands share: options, the project's definitions, connections, the console."""
