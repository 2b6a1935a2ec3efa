"""What all services are built with; no business nouns."""

import os

# The core of gRPC writes lines of its own to standard error, one for each handshake that fails. What matters of
# them our log has. It reads this when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
