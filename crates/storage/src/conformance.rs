//! Suites that every adapter runs; see the modules.
