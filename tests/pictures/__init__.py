"""The pictures and recordings of the documentation, made anew: `make pictures`."""
