"""Measures Penstock against its bars; `make bench` runs all of it and prints one table."""
