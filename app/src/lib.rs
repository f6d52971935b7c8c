//! The webmail: pages and components, over a trait Api.
