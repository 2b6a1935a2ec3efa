"""What holds for all tests of the project."""

from hypothesis import HealthCheck, settings

# No unit test is timed: a busy machine must not fail a law that holds.
settings.register_profile("rapport", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rapport")
