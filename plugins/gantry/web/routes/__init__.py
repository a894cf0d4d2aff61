"""Routes: pages, forms, JSON API."""
