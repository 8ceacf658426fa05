"""Episodes: what they begin with, the environments that run them, and what is paid.

Importing this package makes `gymnasium.make("rl_aesthetics/ImageEdit-v0", …)` work.
"""

import gymnasium

gymnasium.register(
    "rl_aesthetics/ImageEdit-v0",
    entry_point="rl_aesthetics.episodes.env:ImageEditEnv",
    vector_entry_point="rl_aesthetics.episodes.vector_env:ImageEditVectorEnv",
)
