"""Debate and consultancy by halving, before a judge who can check one operation; and games of a hidden flaw."""
