//! The outbound queue: schedule, routing, delivery, and the notifications of its outcome.
