"""A site on two servers behind HAProxy, whose versions say on which server they run."""

from __future__ import annotations

import textwrap

SITE = "rollsite"
HOST = "roll.example.com"
ARCHIVE = "roll.tar.gz"
UPDATE = "service-site.update"
SERVERS = ("web-1", "web-2")

PROGRAM = """\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
Server(("", 8000), Handler).serve_forever()
"""
START = """\
#!/bin/sh
setsid python3 /mnt/services/a4001/bin/site.py "{version} $(hostname)" </dev/null >/tmp/site.log 2>&1 &
echo $! >/tmp/site.pid
"""
STOP = """\
#!/bin/sh
pid=$(cat /tmp/site.pid 2>/dev/null) || exit 0
kill "$pid" 2>/dev/null || exit 0
while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
"""
HEALTHY = '#!/bin/sh\ncurl -sf -o /dev/null http://127.0.0.1:8000/ && echo OK || echo "nobody listens"\n'
BROKEN = '#!/bin/sh\necho "the catalogue is upside down"\n'


def scripts(name: str, check: str = HEALTHY, before: str = "") -> dict[str, str]:
    """The scripts of a version of the site that are not those of the smallest service.

    Args:
        name: what the site answers, before the server's name.
        check: its check.
        before: put before its start script.
    """
    return {
        "site.py": PROGRAM,
        "enstratus-start": before + START.format(version=name),
        "enstratus-stop": STOP,
        "enstratus-check": check,
    }


def definition(on_failure: str = "stop", start: str = "60s") -> str:
    """The site's.

    Args:
        on_failure: of an update.
        start: how long its start script may take.
    """
    return textwrap.dedent(f"""\
        deployment: {SITE}
        timeouts: {{handshake: 60s, configure: {start}, check: 6s}}
        cloud: {{connection: aws_default, region: eu-central-1}}
        launch_configurations:
          debian: {{image: gantry-debian-12-prepared, ssh: {{connection: bookshop_ssh}}}}
        tiers:
          web: {{launch_configuration: debian, servers: 2}}
          front: {{launch_configuration: debian, servers: 1}}
        services:
          site:
            id: a4001
            tier: web
            archive: s3://bookshop/{ARCHIVE}
            port: 8000
            protocol: http
            update: {{pause: 2s, on_failure: {on_failure}}}
        load_balancers:
          main: {{tier: front, service: site, name: {HOST}}}
        """)
