//! Mail at the door, against a DNS zone that knows what each test told it.

#![cfg(test)]

mod aggregate;
mod arc;
mod dkim;
mod dmarc;
mod kit;
mod spf;
