//! The storage ports over SQL databases through SeaORM; its entities stay private.
