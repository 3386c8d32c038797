"""Changes that an app needs inside of other frameworks."""
