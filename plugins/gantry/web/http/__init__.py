"""The frame around every page: where it is mounted, who asks, addresses, protection of forms."""
