//! The SMTP server's engine: bytes in, bytes and events out, no I/O.
