"""Who proposes, who stops, and what they may see."""
