"""What the compatibility tests stand on: databases, servers, and raw requests."""
