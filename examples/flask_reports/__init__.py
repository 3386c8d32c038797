"""A Flask app that computes sales reports in the background: a chord, links and progress."""
