"""The API server's only door: client, discovery, watch cache, apply, inventory, prune, kstatus."""
