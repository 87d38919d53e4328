"""Keep an untrusted researcher inside: users, a sandbox, canaries, approval, and attempts that show whether it holds."""
