"""The command a person runs, and the environment that it runs on one machine."""
