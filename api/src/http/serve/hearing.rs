//! What a peer says while its request is answered. hyper does not read then as long as a next request waits in its
//! buffer, and not at all where the body was left unread: who sent one byte more and hung up would be worked for to
//! the end. So the connection is read beside it, within a bound.

use std::collections::VecDeque;
use std::io::{Read as _, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// So much of next requests is kept. Who sends more is not waited for: behind it nobody sees the peer's end.
const AHEAD_BYTES_MAX: usize = 64 << 10;
const PIECE_BYTES: usize = 4096;

/// The reading half of a connection, which two can read; nothing is lost between them.
#[derive(Debug)]
pub(super) struct Hearing<S>(Arc<Mutex<Heard<S>>>);

#[derive(Debug)]
struct Heard<S> {
    stream: S,
    /// Read beside hyper, and not yet by it.
    ahead: VecDeque<u8>,
}

impl<S> Clone for Hearing<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncRead + Unpin> Hearing<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Heard { stream, ahead: VecDeque::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Heard<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when the peer has hung up, or sends on and on instead of reading its answer.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut heard = self.lock();
        let Heard { stream, ahead } = &mut *heard;
        while ahead.len() < AHEAD_BYTES_MAX {
            let mut piece = [0; PIECE_BYTES];
            let mut buffer = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => ahead.extend(buffer.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
            // hyper sleeps until the stream wakes it, which has nothing more to wake it for.
            context.waker().wake_by_ref();
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let mut heard = self.lock();
        if heard.ahead.is_empty() {
            return Pin::new(&mut heard.stream).poll_read(context, buffer);
        }
        let read = heard.ahead.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again_and_the_end_is_heard() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut hearing = Hearing::new(ours);
        theirs.write_all(b"next request").await.unwrap();
        assert!(poll_fn(|context| Poll::Ready(hearing.poll_gone(context))).await.is_pending(), "the peer is there");
        let mut said = [0; 4];
        hearing.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"next");
        theirs.write_all(b" and more").await.unwrap();
        drop(theirs);
        poll_fn(|context| hearing.poll_gone(context)).await;
        let mut rest = String::new();
        hearing.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, " request and more");
    }

    #[tokio::test]
    async fn who_sends_on_and_on_is_not_waited_for() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(&[b'x'; AHEAD_BYTES_MAX]).await.unwrap();
        let hearing = Hearing::new(ours);
        poll_fn(|context| hearing.poll_gone(context)).await;
    }
}
