"""Train autoregressive diffusion models on machines that may vanish at any moment."""
