"""HTTP layer of the pages: mount point, access rights, URLs, CSRF protection."""
