"""`generate` and `transforms`: photos in, a degraded dataset out."""
