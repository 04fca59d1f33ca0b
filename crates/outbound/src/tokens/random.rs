//! Where chance comes from, so that tests can take it away.

/// A source of random numbers.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A number from 0 up to, not including, 1.
    fn fraction(&self) -> f64 {
        // As many bits as a double has.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The machine's randomness: cryptographic, seeded by the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        rand::random()
    }
}

/// A name that nobody else draws.
pub(super) fn unique(random: &dyn Random) -> u128 {
    (u128::from(random.bits()) << 64) | u128::from(random.bits())
}
