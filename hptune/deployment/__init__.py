"""Models on their way out: pruned, and in the formats of other runtimes, each held against the artifact."""
