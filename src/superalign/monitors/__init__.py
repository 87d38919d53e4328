"""Read what an untrusted researcher submits and how it ran, and ask who lets it run. No monitor sees an answer."""
