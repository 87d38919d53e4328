"""Hold code that nobody trusts: users of the system, a sandbox, canaries. Nothing here knows what it holds, or why."""
