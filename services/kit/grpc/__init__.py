"""The gRPC server of an API process: one guard around every RPC does what the proto declares."""
