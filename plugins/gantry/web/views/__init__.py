"""What pages show, drawn from what was asked: tables, pictures, words."""
