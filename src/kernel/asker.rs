//! What takes seconds at worst is asked by a thread: the VideoCore's firmware, and the drivers of radios.

use crate::sys;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A thread that asks one question over and over, on request, so that nothing else has to wait for the answer.
#[derive(Debug)]
pub struct Asker(Arc<Line>);

/// What the thread and its owner share.
#[derive(Debug)]
struct Line {
    state: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    /// When the open question was asked.
    open: Option<Instant>,
    answer: Option<Answer>,
    ended: bool,
}

/// An answer, or the number of the error in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Since boot.
    pub at: Duration,
    pub value: Result<u32, i32>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker {
    /// How long [`Asker::answer`] waits for an answer to a question that was just asked; the firmware takes less than a
    /// millisecond if all is well.
    const WAIT: Duration = Duration::from_millis(20);
    /// From when on a question that is still open is taken for stuck.
    const STUCK: Duration = Duration::from_secs(3);

    /// Starts the thread; it will call `ask` for each question.
    ///
    /// # Errors
    /// That there can be no more threads.
    pub fn start(mut ask: Box<dyn FnMut() -> io::Result<u32> + Send>) -> io::Result<Self> {
        let line = Arc::new(Line { state: Mutex::default(), changed: Condvar::new() });
        let theirs = line.clone();
        let run = move || {
            let mut asked = theirs.lock();
            while !asked.ended {
                if asked.open.is_none() {
                    asked = theirs.changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                drop(asked);
                let value = ask().map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
                asked = theirs.lock();
                asked.answer = Some(Answer { at: sys::since_boot(), value });
                asked.open = None;
                theirs.changed.notify_all();
            }
        };
        sys::spawn(Box::new(run))?;
        Ok(Asker(line))
    }

    /// Asks, unless a question is open.
    pub fn ask(&self) {
        let mut asked = self.0.lock();
        if asked.open.is_none() {
            asked.open = Some(Instant::now());
            self.0.changed.notify_all();
        }
    }

    /// Returns the last answer; `None` if there was none yet. Waits a moment for one that is under way, but only once for each question.
    pub fn answer(&self) -> Option<Answer> {
        let mut asked = self.0.lock();
        while let Some(left) = asked.open.and_then(|since| Self::WAIT.checked_sub(since.elapsed())) {
            asked = self.0.changed.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if asked.open.is_some_and(|since| since.elapsed() > Self::STUCK) {
            return Some(Answer { at: sys::since_boot(), value: Err(libc::ETIMEDOUT) });
        }
        asked.answer
    }
}

impl Drop for Asker {
    /// Lets the thread end, at once or when its question is answered.
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_answered_elsewhere() {
        let mut number = 0;
        let asker = Asker::start(Box::new(move || {
            number += 1;
            if number == 3 { Err(io::Error::from_raw_os_error(libc::EPERM)) } else { Ok(number) }
        }));
        let asker = asker.unwrap();
        assert_eq!(asker.answer(), None);
        for expected in [Ok(1), Ok(2), Err(libc::EPERM), Ok(4)] {
            asker.ask();
            let answer = loop {
                match asker.answer() {
                    Some(answer) if asker.0.lock().open.is_none() => break answer,
                    _ => {}
                }
            };
            assert_eq!(answer.value, expected);
            assert_eq!(asker.answer(), Some(answer));
        }
    }

    #[test]
    fn a_stuck_question_is_waited_for_once_and_then_said_to_be_stuck() {
        let (answer, question) = std::sync::mpsc::channel();
        let asker =
            Asker::start(Box::new(move || question.recv().map_err(|_| io::ErrorKind::BrokenPipe.into()))).unwrap();
        answer.send(1).unwrap();
        asker.ask();
        while asker.answer().is_none() {}
        asker.ask();
        let begin = Instant::now();
        assert_eq!(asker.answer().unwrap().value, Ok(1));
        assert!(begin.elapsed() >= Asker::WAIT - Duration::from_millis(2));
        // None of these waits; the fastest shows it on a busy machine, too.
        let fastest = (0..20).map(|_| {
            let begin = Instant::now();
            asker.ask();
            assert_eq!(asker.answer().unwrap().value, Ok(1));
            begin.elapsed()
        });
        let fastest = fastest.min().unwrap();
        assert!(fastest < Asker::WAIT / 2, "{fastest:?}");
        asker.0.lock().open = Instant::now().checked_sub(Asker::STUCK + Duration::from_millis(1));
        assert_eq!(asker.answer().unwrap().value, Err(libc::ETIMEDOUT));
        answer.send(2).unwrap();
        while asker.answer().unwrap().value != Ok(2) {}
    }
}
