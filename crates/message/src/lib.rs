//! MIME: parse a mail once into its structure; compose, summarise, thread, and show it safely.
