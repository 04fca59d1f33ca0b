//! Where jitter comes from: a parameter, so that tests know what was drawn.

use std::sync::Arc;
use std::time::Duration;

/// Draws numbers from 0 up to but without 1, evenly.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    /// From a function that draws one number.
    pub fn new(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// The next number.
    pub(crate) fn fraction(&self) -> f64 {
        let drawn = (self.0)();
        if drawn.is_finite() { drawn.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// A duration between nothing and `most`.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.fraction())
    }
}

impl Default for Random {
    /// The thread's generator, seeded by the machine.
    fn default() -> Self {
        Self::new(rand::random::<f64>)
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}
