"""What the library costs, beside what a bare websocket-client loop costs. Run with `make bench`."""
