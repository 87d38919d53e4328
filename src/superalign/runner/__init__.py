"""Run artefacts of an untrusted researcher as a user who has inputs and no answers."""
