"""What all tests share."""

from hypothesis import settings

# A busy machine makes examples slow, not wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
