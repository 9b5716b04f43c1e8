"""Objects of a bucket become an artifact; start at `bucket.py`."""
