"""`python3 -m bookshop configure|serve|health`, called by the scripts in `bin/`."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from bookshop import settings
from bookshop.settings import Settings, SettingsError

_HEALTH_SECONDS = 10
_BAD_FACTS = 2


def configure(facts_file: Path, target: Path) -> int:
    """Make `app.json` of `enstratus.cfg`. Returns the exit code."""
    try:
        facts = settings.read_facts(facts_file)
        changed = settings.from_facts(facts, socket.gethostname()).save(target, settings.service_user(facts))
    except SettingsError as error:
        sys.stderr.write(f"enstratus-configure: {facts_file}: {error}\n")
        return _BAD_FACTS
    sys.stdout.write(f"wrote {target}\n" if changed else f"{target} is as it should be\n")
    return 0


def serve(settings_file: Path) -> int:
    """Serve until told to end. Returns the exit code."""
    # Only here: configuring needs no database driver.
    from bookshop.server import Server  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    Server(Settings.load(settings_file)).run()
    return 0


def health(settings_file: Path) -> int:
    """Print what /health says, in one line. Returns 0 for `OK`, else 1."""
    url = f"http://127.0.0.1:{Settings.load(settings_file).port}/health"
    # No proxy of the environment stands between a server and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_HEALTH_SECONDS) as response:
            answer = response.read().decode().strip()
    except urllib.error.HTTPError as error:
        answer = f"/health: {error.code} {error.read().decode(errors='replace').strip()}"
    except OSError as error:
        answer = f"/health does not answer: {getattr(error, 'reason', error)}"
    sys.stdout.write(f"{answer}\n")
    return 0 if answer == "OK" else 1


def main() -> int:
    """Run one of the three commands. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="bookshop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    configuring = commands.add_parser("configure")
    configuring.add_argument("facts", type=Path)
    for command in (configuring, commands.add_parser("serve"), commands.add_parser("health")):
        command.add_argument("settings", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "configure":
        return configure(arguments.facts, arguments.settings)
    return serve(arguments.settings) if arguments.command == "serve" else health(arguments.settings)


if __name__ == "__main__":
    sys.exit(main())
