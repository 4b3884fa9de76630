//! Bodies that tell their connection how far its request is.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::connections::{Begun, Handle};

/// A request's body; its connection is at work once it has been read, or is not wanted.
pub(super) struct UntilRead {
    body: Incoming,
    receiving: Option<Handle>,
}

impl UntilRead {
    pub(super) fn new(body: Incoming, receiving: Handle) -> Self {
        let mut body = Self { body, receiving: Some(receiving) };
        if body.body.is_end_stream() {
            body.is_read();
        }
        body
    }

    fn is_read(&mut self) {
        if let Some(receiving) = self.receiving.take() {
            receiving.work();
        }
    }
}

impl Drop for UntilRead {
    fn drop(&mut self) {
        self.is_read();
    }
}

impl HttpBody for UntilRead {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.is_read();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A reply's body; its request lasts until it is sent.
pub(super) struct UntilSent {
    body: Body,
    _begun: Begun,
}

impl UntilSent {
    pub(super) fn new(body: Body, begun: Begun) -> Self {
        Self { body, _begun: begun }
    }
}

impl HttpBody for UntilSent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
