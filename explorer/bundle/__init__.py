"""What a study ships: weights, graphs, card, and how to make them again."""
