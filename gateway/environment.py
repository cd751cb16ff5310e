"""Names of the environment variables by which the processes of the service are told what to do."""

CONFIG = "TILLGATE_CONFIG"
DATABASE_URL = "TILLGATE_DATABASE_URL"

# Set by ``tillgate serve`` for its children: the committer's socket, and where metrics are kept. The second is
# prometheus-client's own name, and must be set before that library is imported anywhere in the process.
COMMITTER = "TILLGATE_COMMITTER"
METRICS = "PROMETHEUS_MULTIPROC_DIR"
