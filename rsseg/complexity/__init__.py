"""What attention and networks cost: by formula, by counting, and by measuring."""
