//! The built program, tried from outside. One test program: each more would be linked again, whole.

#![cfg(test)]

mod authentication;
mod away;
mod backup;
mod clients;
mod commands;
mod crash;
mod deploy;
mod events;
mod guests;
mod isolation;
mod leaving;
mod lists;
mod model;
mod nodes;
mod operators;
mod pages;
mod problems;
mod process;
mod programs;
mod quotas;
mod reporting;
mod reports;
mod rest;
mod sessions;
mod setup;
mod smtp;
mod support;
mod wrong;
