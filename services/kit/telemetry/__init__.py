"""What a process tells of itself from within: spans for OpenTelemetry, and figures for Prometheus.

Metrics that code counts as it goes are in `services.kit.metrics` and beside the code that counts; logs are in
`services.kit.log`.
"""
