"""A real MLflow server that can be stopped and started, and a proxy before it that can misbehave."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mlflow import MlflowClient


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A real MLflow server with a database and artifacts of its own, to be stopped and started on one port."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.client = MlflowClient(self.uri)
        self.process = None

    def start(self):
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"]
        self.process = subprocess.Popen(
            [*command, "--artifacts-destination", "artifacts"],
            cwd=self.folder,
            env=environment,
            stdout=(self.folder / "server.log").open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.sendall(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                    if b"200" in connection.recv(64):
                        return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "server.log").read_text())

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(20)

    def runs(self, experiment):
        found = self.client.get_experiment_by_name(experiment)
        return self.client.search_runs([found.experiment_id]) if found else []

    def run(self, experiment):
        """The only run of an experiment."""
        (run,) = self.runs(experiment)
        return run

    def history(self, run, metric):
        return [(m.step, m.value) for m in self.client.get_metric_history(run.info.run_id, metric)]


class Proxy:
    """Forwards to the server, as `mode` says.

    pass: honestly. fail: not at all, the answer is 500. hang: not at all, and late. lose: the server does what it is
    asked, but every other answer to a POST of a kind, the first one first, becomes 500.
    """

    def __init__(self, server):
        proxy, self.mode, self.posts = self, "pass", []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mode = proxy.mode
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.command == "POST":
                    proxy.posts.append(self.path)
                status, answer = 500, b"{}"
                if mode == "hang":
                    time.sleep(3)
                elif mode != "fail":
                    connection = http.client.HTTPConnection("127.0.0.1", server.port)
                    headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                    connection.request(self.command, self.path, body, headers)
                    response = connection.getresponse()
                    status, answer = response.status, response.read()
                lost = mode == "lose" and self.command == "POST" and proxy.posts.count(self.path) % 2
                self.send_response(500 if lost else status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_GET

            def log_message(self, *message):
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._listener.server_port}"
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def close(self):
        self._listener.shutdown()
        self._listener.server_close()
