//! How far long work has come: a bar on a terminal, a log line every few seconds elsewhere.

use std::io::{self, IsTerminal as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a log line tells the progress.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    unit: &'static str,
    total: Option<u64>,
    started: Instant,
    /// What was done before this process came to it.
    before: Step,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Of the total, in whatever the total is counted in.
    pub position: u64,
    /// How many things were dealt with.
    pub count: u64,
    /// How many of them were refused.
    pub refused: u64,
}

impl Progress {
    /// Work that begins now. `what` says what is being done, `unit` what is counted; `total` is what
    /// [`Step::position`] will have come to at the end, if that is known.
    pub fn begin(bars: &MultiProgress, what: &'static str, unit: &'static str, total: Option<u64>) -> Self {
        let started = Instant::now();
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style(total));
            bar.enable_steady_tick(Duration::from_millis(200));
            bars.add(bar)
        });
        Self { what, unit, total, started, before: Step::default(), bar, last_line: Mutex::new(started) }
    }

    /// The same for work of which others have done a part: rates and times are those of the rest.
    pub fn after(mut self, before: Step) -> Self {
        if let Some(bar) = &self.bar {
            bar.set_position(before.position);
            bar.reset_eta();
        }
        self.before = before;
        self
    }

    /// Tells how far it has come; may be called as often as one likes.
    pub fn step(&self, step: Step) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.message(step));
            bar.set_position(step.position);
            return;
        }
        let Ok(mut last) = self.last_line.try_lock() else { return };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        match self.left(step) {
            Some((percent, left)) => {
                tracing::info!("{}, {percent} % done, about {} left", self.message(step), HumanDuration(left))
            }
            None => tracing::info!("{}", self.message(step)),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn message(&self, step: Step) -> String {
        let refused = if step.refused > 0 { format!(", {} refused", HumanCount(step.refused)) } else { String::new() };
        let rate = HumanCount(per_second(step.count.saturating_sub(self.before.count), self.elapsed()));
        format!("{} {} {}, {rate}/s{refused}", self.what, HumanCount(step.count), self.unit)
    }

    /// Percent done and time left, at the rate so far.
    fn left(&self, step: Step) -> Option<(u64, Duration)> {
        let total = self.total.filter(|t| *t > 0)?;
        let position = step.position.min(total);
        let done = position.saturating_sub(self.before.position);
        if done == 0 {
            return None;
        }
        let left = self.elapsed().mul_f64((total - position) as f64 / done as f64);
        Some((position * 100 / total, Duration::from_secs(left.as_secs() + 1)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{spinner} {msg} [{bar:24}] {percent} %, {eta} left",
        None => "{spinner} {msg}, {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// How long something took, for people.
pub fn took(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(60) {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else {
        HumanDuration(elapsed).to_string()
    }
}

/// Things per second.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    let rate = count as f64 / elapsed.as_secs_f64().max(0.001);
    if count == 0 { 0 } else { rate.round() as u64 }
}
