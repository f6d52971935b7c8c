//! The real server in-process, a DNS zone of the tests' own, fixtures and a clock to turn.
