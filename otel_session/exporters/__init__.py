"""Where telemetry leaves the process."""
