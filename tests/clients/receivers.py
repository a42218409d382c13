"""Receivers of notifications: an HTTP server and a mail server, each on a free port of this machine.

Prints the ports as its first line, and then a line of JSON for each message that it gets. Reads the keys of webhooks from its standard
input, a line each, and ends with it. A webhook is checked as Standard Webhooks say, with Python's own cryptography.
"""

import asyncio
import base64
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import sys
import threading
import time

from aiosmtpd.smtp import SMTP

KEYS = []
LOCK = threading.Lock()


def tell(message):
    with LOCK:
        print(json.dumps(message), flush=True)


def verified(headers, body):
    ident, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    signed = b".".join([ident.encode(), timestamp.encode(), body])
    digests = [hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest() for key in KEYS]
    expected = {"v1," + base64.b64encode(digest).decode() for digest in digests}
    return any(signature in expected for signature in headers["webhook-signature"].split(" "))


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        told = {"path": self.path, "body": json.loads(body), "type": self.headers["content-type"]}
        status = 202
        if self.path == "/hook":
            told["id"] = self.headers["webhook-id"]
            told["verified"] = verified(self.headers, body)
            status = 204 if told["verified"] else 401
        self.send_response(status)
        self.end_headers()
        tell(told)

    def log_message(self, *_):
        pass


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        headers = {name.lower(): str(value) for name, value in mail.items()}
        tell({"path": "mail", "from": envelope.mail_from, "to": envelope.rcpt_tos, "headers": headers, "text": mail.get_content()})
        return "250 OK"


def main():
    loop = asyncio.new_event_loop()
    mail = loop.run_until_complete(loop.create_server(lambda: SMTP(Mailbox(), loop=loop), "127.0.0.1", 0))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    tell({"http": receiver.server_address[1], "smtp": mail.sockets[0].getsockname()[1]})
    for line in sys.stdin:
        KEYS.append(line.strip())
        tell({"keys": len(KEYS)})


main()
