//! Listeners and sessions: accept, TLS, deadlines and limits over the protocol engines.
