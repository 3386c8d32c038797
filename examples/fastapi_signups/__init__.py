"""A FastAPI app that welcomes new users by mail: automatic retries, a countdown, revoking."""
