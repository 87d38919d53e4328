"""Keep an untrusted researcher inside: users, a sandbox, canaries, monitors, approval."""
