"""What all tests share: no thread pool spreads over cores that others test on, and who runs beside whom.

`pytest -n 2 --dist loadgroup` runs two processes. A file stays in one of them, with what its fixtures made. Files that
start Ray are one after another in one process, as each brings a cluster of two CPUs.
"""

import os

# Before anything loads its pool: small batches are many times slower in more threads than there are free cores.
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# A busy machine makes examples slow, not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of the same name
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))
