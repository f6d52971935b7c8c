//! The mail use-cases: the one door for web, SMTP and every other way in.
