"""Four workers of a web server share one connection."""
