"""Receivers of notifications: an HTTP server and three mail servers, each on a free port of this machine. One of the mail servers
speaks in the clear, one asks for STARTTLS, one speaks TLS from the start; the latter two ask for a password.

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
import logging
import pathlib
import ssl
import sys
import threading
import time
import warnings

from aiosmtpd.smtp import SMTP, AuthResult

# What a client does wrong on purpose is no news.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

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
        tell({"path": "mail", "from": envelope.mail_from, "to": envelope.rcpt_tos, "headers": headers, "text": mail.get_content(), "user": session.auth_data})
        return "250 OK"


def authenticated(server, session, envelope, mechanism, data):
    good = data.login == b"ada" and data.password == b"s@cret"
    return AuthResult(success=good, handled=False, auth_data="ada" if good else None)


def main():
    loop = asyncio.new_event_loop()
    certificates = pathlib.Path(__file__).parent / "mail"
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates / "certificate.pem", certificates / "key.pem")
    asks = {"authenticator": authenticated, "auth_required": True, "loop": loop}

    def listen(make, **more):
        server = loop.run_until_complete(loop.create_server(make, "127.0.0.1", 0, **more))
        return server.sockets[0].getsockname()[1]

    ports = {
        "smtp": listen(lambda: SMTP(Mailbox(), loop=loop)),
        "starttls": listen(lambda: SMTP(Mailbox(), tls_context=tls, require_starttls=True, **asks)),
        "smtps": listen(lambda: SMTP(Mailbox(), auth_require_tls=False, **asks), ssl=tls),
    }
    threading.Thread(target=loop.run_forever, daemon=True).start()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    tell({"http": receiver.server_address[1], **ports})
    for line in sys.stdin:
        KEYS.append(line.strip())
        tell({"keys": len(KEYS)})


main()
