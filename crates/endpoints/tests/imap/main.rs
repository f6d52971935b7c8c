//! IMAP over the real service: transcripts, of several connections at once where that matters.

#![cfg(test)]

mod attacks;
mod client;
mod model;
mod texts;
mod transcripts;
