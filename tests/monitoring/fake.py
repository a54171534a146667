#!/usr/bin/env python3
"""A server that is no agent, or an agent behind TLS; tests/monitoring/run.sh starts it.

  fake.py PORT node               says what node_exporter says
  fake.py PORT tls CERT KEY FILE  serves FILE as /metrics by HTTPS
"""
import http.server
import ssl
import sys

port, kind = int(sys.argv[1]), sys.argv[2]
page = b'node_exporter_build_info{version="1.9.0"} 1\nnode_load1 0.5\n'
if kind == "tls":
    with open(sys.argv[5], "rb") as file:
        page = file.read()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
if kind == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
