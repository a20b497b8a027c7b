//! Time for which a run waits for signers and for the key on standard input: per answer, and in total.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for one answer, because the user may have to press a button.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The run's remaining time for waiting. Clones share it.
#[derive(Debug, Clone)]
pub struct Patience {
    all: Duration,
    left: Arc<Mutex<Duration>>,
}

/// The time for one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerTime {
    /// The longest time for the answer.
    pub(super) most: Duration,
    /// The same time as text, as a phrase that follows `within`.
    pub(super) named: String,
}

impl Patience {
    /// Starts with this much time for all answers in total.
    pub fn new(all: Duration) -> Self {
        Self { all, left: Arc::new(Mutex::new(all)) }
    }

    /// Returns the remaining time.
    pub fn left(&self) -> Duration {
        *self.lock()
    }

    /// Sets the remaining time to that of the whole run.
    pub fn leave(&self, left: Duration) {
        *self.lock() = left;
    }

    /// Waits for one answer, and subtracts the time that it took.
    pub(super) fn wait<T>(&self, wait: impl FnOnce(&AnswerTime) -> T) -> T {
        let left = self.left();
        let turn = match left < ANSWER_TIMEOUT {
            true => {
                AnswerTime { most: left, named: format!("{}, the time of the whole run (--timeout)", named(self.all)) }
            }
            false => AnswerTime { most: ANSWER_TIMEOUT, named: named(ANSWER_TIMEOUT) },
        };
        let begun = Instant::now();
        let answer = wait(&turn);
        let mut left = self.lock();
        *left = left.saturating_sub(begun.elapsed());
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Duration> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_has_its_time_and_all_have_theirs() {
        let patience = Patience::new(Duration::from_secs(150));
        let turn = patience.wait(AnswerTime::clone);
        assert_eq!(turn, AnswerTime { most: ANSWER_TIMEOUT, named: "60 s".to_owned() });
        let same = patience.clone();
        same.leave(Duration::from_millis(50));
        patience.wait(|turn| std::thread::sleep(turn.most));
        assert_eq!(same.left(), Duration::ZERO);
        let named = "150 s, the time of the whole run (--timeout)".to_owned();
        assert_eq!(same.wait(AnswerTime::clone), AnswerTime { most: Duration::ZERO, named });
    }
}
