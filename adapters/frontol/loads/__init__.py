"""Load files: what the office tells Frontol, and tills that read the same, of cards, clients, balances and goods."""
