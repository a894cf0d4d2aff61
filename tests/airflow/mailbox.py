"""A mail server that keeps what it is given: just enough SMTP for a notifier to deliver to."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage


class Mailbox:
    """Everything that was delivered, by recipient."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._delivered: list[tuple[str, EmailMessage]] = []

    def keep(self, recipient: str, text: bytes) -> None:
        """Called by the server."""
        self._delivered.append((recipient, email.message_from_bytes(text, policy=email.policy.default)))

    def of(self, recipient: str) -> list[str]:
        """The subjects of the mails to somebody, in the order of their arrival."""
        return [str(mail["Subject"]) for to, mail in self._delivered if to == recipient]


@contextlib.contextmanager
def running() -> Iterator[Mailbox]:
    """A mail server on this machine."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 mailbox")
            recipients: list[str] = []
            while line := self.rfile.readline().decode().strip():
                verb = line.partition(" ")[0].upper()
                if verb == "RCPT":
                    recipients.append(line.partition("<")[2].partition(">")[0])
                if verb == "DATA":
                    self.say("354 go on")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    for recipient in recipients:
                        box.keep(recipient, text)
                self.say("221 bye" if verb == "QUIT" else "250 fine")
                if verb == "QUIT":
                    return

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        box = Mailbox(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield box
        server.shutdown()
