//! Randomness as an argument.

/// A source of unpredictable bytes. The server's is the operating system's; tests count.
pub trait Random: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` bytes of it.
pub(crate) fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}
