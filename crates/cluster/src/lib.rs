//! What nodes share: cache, event bus and rate limits, here in memory.
