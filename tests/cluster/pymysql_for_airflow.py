"""A plugin of pytest: an Airflow on MySQL is content without `mysqlclient`, of which PyPI has no wheel.

Airflow imports it when it starts, to tell it how a time of its own is written, and says the same to PyMySQL, which is
what talks to the server here.
"""

from __future__ import annotations

import sys
import types

_package, _converters = types.ModuleType("MySQLdb"), types.ModuleType("MySQLdb.converters")
vars(_converters).update(conversions={}, DateTime2literal=None)
vars(_package).update(converters=_converters)
sys.modules["MySQLdb"], sys.modules["MySQLdb.converters"] = _package, _converters
