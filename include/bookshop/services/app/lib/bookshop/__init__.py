"""A small bookshop: a catalogue in a database, shown on a page and as JSON.

Runs on Debian's Python 3.11 with python3-pymysql and nothing else.
"""
