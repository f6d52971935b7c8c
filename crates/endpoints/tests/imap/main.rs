//! IMAP over the real service: transcripts, of several connections at once where that matters.

#![cfg(test)]

mod attacks;
mod client;
mod costs;
mod full;
mod judge;
mod long;
mod model;
mod sharing;
mod texts;
mod transcripts;
