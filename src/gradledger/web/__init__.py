"""The local web application: every question as a page; read-only, on loopback, with a token."""
