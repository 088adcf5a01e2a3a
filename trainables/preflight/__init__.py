"""What is refused before a worker is asked for, and what a step takes here."""
