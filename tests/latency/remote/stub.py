"""A server that answers like an agent, or unlike one."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nas.errors import MixnasError


def error_of(function, *arguments):
    """Return the message of an error, which must be one line."""
    with pytest.raises(MixnasError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def stub(*answers):
    """Serve answers in order, the last one forever; yield the address and the paths requested."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, headers = left.pop(0) if len(left) > 1 else left[0]
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def conditions(**changes):
    known = {
        "device": "onnxruntime:cpu",
        "runtime": "onnxruntime 1.0",
        "machine": "a board",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "lowered": False,
    }
    return json.dumps({**known, **changes}).encode()
