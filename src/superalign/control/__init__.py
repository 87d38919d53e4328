"""Keep an untrusted researcher in bounds: sandbox, identities, canaries, monitors, approval. It knows no study."""
