"""Pages in a browser."""

from __future__ import annotations

import pytest

# Their assertions say what they found, like those of the tests themselves.
pytest.register_assert_rewrite("tests.web.legible", "tests.web.viewer")
