"""The routes: pages, forms, JSON."""
