"""A Django project whose orders are shipped in the background, after their transaction is committed."""
