"""Requests to servers that tenants name: where they lead, by which proxy, how much, how long."""
