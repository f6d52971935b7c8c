//! The ports to whatever keeps the mail, and the suites every adapter must pass.
