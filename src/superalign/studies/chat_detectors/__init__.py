"""Every detector on a real chat model, with its cost."""
