//! The rules of the house that no compiler knows, as tests.

mod files;
mod graph;
mod layers;
mod licences;
mod readme;
