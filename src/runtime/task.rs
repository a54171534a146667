//! What runs beside everything else on the one thread.

use std::pin::Pin;

/// Lets `work` run until it is done. Call it within a [`tokio::task::LocalSet`]. It takes a box, so that there is the code of one kind of
/// task, not of one for each caller.
pub fn spawn(work: Pin<Box<dyn Future<Output = ()>>>) {
    drop(tokio::task::spawn_local(work));
}
