from __future__ import annotations

import os
import tempfile

# Airflow writes a configuration and a log folder where it is imported first; not into anybody's home.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="gantry-unit-airflow-"))
