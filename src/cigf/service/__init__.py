"""A server: loaded models, an event log and, over them, a thin layer of HTTP (extra `serve`)."""
