//! The worker over real storage: a mail's whole way through the queue, with a clock to turn.

#![cfg(test)]

mod asked;
mod desk;
mod fates;
mod life;
mod outage;
mod running;
