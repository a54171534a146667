//! What may hang runs elsewhere, with a deadline.
//!
//! What takes a second at worst is asked by a thread, [`Asker`](super::Asker). What may hang for good takes more: `statvfs()` on a network or FUSE filesystem, or on anything below one, waits as long as its server likes. A process with a
//! thread that hangs there cannot be killed and keeps its port, so it cannot be restarted either. Such calls are therefore
//! made by a helper *process*, which can be left behind. It is forked when the first such mount appears, so that machines
//! without any (most Pis) do not pay for it.

use crate::sys::{self, Child, FsStat};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// How long one mount may take before its helper is left behind.
const PATIENCE: Duration = Duration::from_millis(900);
/// How long a collection waits for all mounts together; what is not asked by then is asked by the next one.
const ROUND: Duration = Duration::from_millis(2500);
/// How many helpers may hang at once; mounts beyond them are not asked until one of these comes back.
const MOST_STUCK: usize = 4;

/// Asks for the size of filesystems that may hang.
#[derive(Debug)]
pub struct RemoteStat {
    answer: fn(&CStr) -> [u8; 56],
    mounts: Vec<Mount>,
    helper: Option<Helper>,
    /// Helpers that did not answer in time, each with the mount it hangs on.
    stuck: Vec<Helper>,
}

#[derive(Debug)]
struct Mount {
    path: CString,
    wanted: bool,
    /// Whether the answer is one of this round.
    fresh: bool,
    answer: Option<FsStat>,
}

#[derive(Debug)]
struct Helper {
    child: Child,
    socket: AsyncFd<OwnedFd>,
    /// What it was asked and has not yet answered.
    asked: Option<(CString, Instant)>,
}

/// Answers for the helper.
pub fn answer(path: &CStr) -> [u8; 56] {
    encode(sys::statvfs(path))
}

/// Encodes what `statvfs` returned, with the error's number in front of the answer.
pub fn encode(result: io::Result<FsStat>) -> [u8; 56] {
    let (error, stat) = match result {
        Ok(stat) => (0, stat),
        Err(error) => (error.raw_os_error().unwrap_or(libc::EIO), FsStat::default()),
    };
    let mut reply = [0; 56];
    let (head, body) = reply.split_at_mut(8);
    head.copy_from_slice(&i64::from(error).to_ne_bytes());
    body.copy_from_slice(&stat.to_bytes());
    reply
}

impl RemoteStat {
    /// Creates the state without a helper, which will answer with `answer` once it is needed.
    pub fn new(answer: fn(&CStr) -> [u8; 56]) -> Self {
        RemoteStat { answer, mounts: Vec::new(), helper: None, stuck: Vec::new() }
    }

    /// Begins a round: what is not wanted in it is forgotten at its end.
    pub fn begin(&mut self) {
        for mount in &mut self.mounts {
            mount.wanted = false;
        }
    }

    /// Asks for the filesystem at `path` in this round.
    pub fn want(&mut self, path: &CStr) {
        match self.mounts.iter_mut().find(|mount| *mount.path == *path) {
            Some(mount) => mount.wanted = true,
            None => self.mounts.push(Mount { path: path.to_owned(), wanted: true, fresh: false, answer: None }),
        }
    }

    /// Returns the answer of the filesystem at `path` in the last round that came to its end; `None` if it hangs or reported an error.
    pub fn answer(&self, path: &CStr) -> Option<FsStat> {
        self.mounts.iter().find(|mount| *mount.path == *path)?.answer
    }

    /// Waits until all that is wanted is answered or its time is over: at most [`ROUND`].
    ///
    /// May be dropped at any point; the next round goes on from there.
    pub async fn settle(&mut self) {
        self.mounts.retain(|mount| mount.wanted);
        for mount in &mut self.mounts {
            mount.fresh = false;
        }
        self.reap();
        if self.mounts.is_empty() {
            if let Some(helper) = self.helper.take() {
                helper.leave(&mut self.stuck);
            }
            return;
        }
        let end = Instant::now() + ROUND;
        // A round that was dropped may have left a question open.
        self.wait_for_answer(end).await;
        for place in 0..self.mounts.len() {
            let path = &self.mounts[place].path;
            let hangs = self.stuck.iter().any(|helper| helper.asked.as_ref().is_some_and(|(asked, _)| asked == path));
            if hangs || self.mounts[place].fresh || Instant::now() >= end {
                continue;
            }
            if self.helper.is_none() && self.stuck.len() < MOST_STUCK {
                self.helper =
                    Helper::start(self.answer).map_err(|error| crate::warn!("cannot start a helper: {error}")).ok();
            }
            let Some(helper) = &mut self.helper else { continue };
            if sys::send(helper.socket.get_ref(), path.as_bytes()).is_err() {
                // It was killed from outside; the next round starts another one.
                if let Some(helper) = self.helper.take() {
                    helper.leave(&mut self.stuck);
                }
                continue;
            }
            helper.asked = Some((path.clone(), Instant::now()));
            self.wait_for_answer(end).await;
        }
        for mount in self.mounts.iter_mut().filter(|mount| !mount.fresh) {
            mount.answer = None;
        }
    }

    /// Waits for the open question's answer, and leaves the helper behind when its time is over.
    async fn wait_for_answer(&mut self, end: Instant) {
        let Some(helper) = &mut self.helper else { return };
        let Some((path, since)) = &helper.asked else { return };
        let deadline = end.min(*since + PATIENCE).into();
        let reply = tokio::time::timeout_at(deadline, helper.receive()).await;
        match reply {
            Ok(Ok(stat)) => {
                if let Some(mount) = self.mounts.iter_mut().find(|mount| mount.path == *path) {
                    (mount.fresh, mount.answer) = (true, stat);
                }
                helper.asked = None;
            }
            Ok(Err(_)) => {
                helper.asked = None;
                if let Some(helper) = self.helper.take() {
                    helper.leave(&mut self.stuck);
                }
            }
            Err(_) => {
                crate::warn!("{}: does not answer", path.to_string_lossy());
                if let Some(helper) = self.helper.take() {
                    helper.leave(&mut self.stuck);
                }
            }
        }
    }

    /// Takes leave of helpers that have ended at last; their mounts are asked again.
    fn reap(&mut self) {
        self.stuck.retain(|helper| !helper.child.has_ended());
    }
}

impl Helper {
    fn start(answer: fn(&CStr) -> [u8; 56]) -> io::Result<Self> {
        let (child, socket) = sys::fork_helper(answer)?;
        Ok(Helper { child, socket: sys::watch(socket)?, asked: None })
    }

    /// Waits for a message: what `statvfs` said, or an error if the child is gone.
    async fn receive(&self) -> io::Result<Option<FsStat>> {
        let mut reply = [0; 56];
        loop {
            let mut guard = self.socket.readable().await?;
            match guard.try_io(|socket| sys::receive(socket.get_ref(), &mut reply)) {
                Ok(Ok(56)) => break,
                Ok(Ok(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        let (error, stat) = reply.split_at(8);
        let good = error.iter().all(|&byte| byte == 0);
        Ok(stat.try_into().ok().filter(|_| good).map(FsStat::from_bytes))
    }

    /// Kills the helper and keeps it among the stuck ones until it has really ended.
    fn leave(self, stuck: &mut Vec<Helper>) {
        self.child.kill();
        stuck.push(self);
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Answers like the real one, but hangs at paths that begin with /stuck.
    fn slow(path: &CStr) -> [u8; 56] {
        if path.to_bytes().starts_with(b"/stuck") {
            std::thread::sleep(Duration::from_secs(600));
        }
        answer(path)
    }

    #[test]
    fn a_stuck_mount_costs_its_patience_once_and_does_not_hide_the_others() {
        run(async {
            let mut remote = RemoteStat::new(slow);
            let mut round = async |paths: &[&CStr]| {
                remote.begin();
                for path in paths {
                    remote.want(path);
                }
                let begin = Instant::now();
                remote.settle().await;
                let answers: Vec<_> = paths.iter().map(|path| remote.answer(path).is_some()).collect();
                (answers, begin.elapsed())
            };
            let (answers, time) = round(&[c"/stuck", c"/", c"/nowhere"]).await;
            assert_eq!(answers, [false, true, false]);
            // As long as it takes on a busy machine, but not until the mount answers.
            assert!(time >= PATIENCE && time < ROUND * 20, "{time:?}");
            // The killed helper of this test really ends, so its mount is asked again; a kernel that hangs would keep it.
            let (answers, _) = round(&[c"/"]).await;
            assert_eq!(answers, [true]);
            let mut fastest = time;
            for _ in 0..5 {
                let (answers, time) = round(&[]).await;
                assert!(answers.is_empty());
                fastest = fastest.min(time);
            }
            assert!(fastest < PATIENCE, "{fastest:?}");
        });
    }

    #[test]
    fn a_helper_that_was_killed_is_replaced() {
        run(async {
            let mut remote = RemoteStat::new(answer);
            for _ in 0..3 {
                remote.begin();
                remote.want(c"/");
                remote.settle().await;
                if let Some(helper) = &remote.helper {
                    helper.child.kill();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            remote.begin();
            remote.want(c"/");
            remote.settle().await;
            let first = remote.answer(c"/").is_some();
            remote.begin();
            remote.want(c"/");
            remote.settle().await;
            assert!(first || remote.answer(c"/").is_some());
        });
    }
}
