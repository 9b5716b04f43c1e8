"""Happenings become messages, and webhooks become requests."""
