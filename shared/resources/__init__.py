"""The kinds as typed models, a module a group. What is optional in the API is optional here."""
