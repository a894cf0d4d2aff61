"""Views of pages: tables, pictures, texts, computed from the queried data."""
