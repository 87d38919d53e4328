"""Critics of responses: they name a step or write a list of them, and are paid for what a judge makes of that."""
