"""``tillgate demo``: a small chain, a recorded evening of one of its restaurants, and what became of it."""
