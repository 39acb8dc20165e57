"""Language models for jobs and for serving: registry, metering, journal and the demo model."""
