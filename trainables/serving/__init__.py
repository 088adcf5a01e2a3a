"""After training: graphs, masks of new images, sample predictions."""
