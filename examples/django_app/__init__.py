"""A Django project whose views ask Phoenix."""
