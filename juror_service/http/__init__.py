"""The juror over HTTP: server and client."""
