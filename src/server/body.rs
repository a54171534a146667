//! The body of an answer.

use crate::agent::Page;
use hyper::body::{Body, Buf, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body that is sent from memory which others use too, without a copy.
#[derive(Clone, Debug)]
pub struct Bytes {
    source: Source,
    sent: usize,
}

#[derive(Clone, Debug)]
enum Source {
    Fixed(&'static [u8]),
    Shared(Page),
}

impl Bytes {
    /// Bytes of the program itself.
    pub fn fixed(bytes: &'static [u8]) -> Self {
        Bytes { source: Source::Fixed(bytes), sent: 0 }
    }

    /// A page, which others may send at the same time.
    pub fn shared(page: Page) -> Self {
        Bytes { source: Source::Shared(page), sent: 0 }
    }

    /// The place in memory and the length of a page that is there for as long as somebody reads it.
    pub fn page(&self) -> (usize, usize) {
        match &self.source {
            Source::Fixed(_) => (0, 0),
            Source::Shared(page) => (Arc::as_ptr(page) as usize, page.capacity()),
        }
    }
}

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        self.chunk().len()
    }

    fn chunk(&self) -> &[u8] {
        let all: &[u8] = match &self.source {
            Source::Fixed(text) => text,
            Source::Shared(page) => page,
        };
        &all[self.sent..]
    }

    fn advance(&mut self, count: usize) {
        self.sent += count.min(self.remaining());
    }
}

impl Body for Bytes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.remaining() == 0 {
            return Poll::Ready(None);
        }
        let data = std::mem::replace(this, Bytes::fixed(b""));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining() as u64)
    }
}
