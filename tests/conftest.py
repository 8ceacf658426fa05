"""What all tests share: pools of threads that do not spread over cores that other tests use."""

import os

# Before anything loads its pool: small batches are many times slower in more threads than there are free cores.
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

from hypothesis import settings  # noqa: E402

# A busy machine makes examples slow, not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
