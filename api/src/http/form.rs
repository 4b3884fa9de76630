//! A multipart form, part by part, of which little is in memory at a time: the parser keeps all that came until it has found
//! a part's head, and finds none where a stranger sends none.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::task::Poll;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_DISPOSITION;
use futures::{Stream, StreamExt};

use super::ApiError;

/// Bytes that may have come without belonging to a part that is being read: heads, boundaries, what stands before the first.
const UNREAD_BYTES_MAX: i64 = 512 << 10;

/// Pieces are handed on in such slices, and another one only when the parser is through with it …
const SLICE_BYTES: usize = 64 << 10;
/// … or has asked so often without finding anything in what it has.
const ASKED_IN_VAIN: u32 = 16;

/// The bytes that came, less those that were read of parts or may come to be skipped.
#[derive(Debug, Clone, Default)]
struct Unread(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    bytes: AtomicI64,
    /// How often more was asked for since something was found.
    in_vain: AtomicU32,
}

impl Unread {
    fn came(&self, bytes: usize) {
        self.0.bytes.fetch_add(signed(bytes), Ordering::Relaxed);
        self.0.in_vain.store(0, Ordering::Relaxed);
    }

    fn was_read(&self, bytes: usize) {
        self.0.bytes.fetch_sub(signed(bytes), Ordering::Relaxed);
        self.found();
    }

    fn found(&self) {
        self.0.in_vain.store(0, Ordering::Relaxed);
    }

    fn is_enough(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) >= signed(SLICE_BYTES) && self.0.in_vain.fetch_add(1, Ordering::Relaxed) < ASKED_IN_VAIN
    }

    fn is_too_much(&self) -> bool {
        self.0.bytes.load(Ordering::Relaxed) > UNREAD_BYTES_MAX
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) struct Form {
    parts: Multipart,
    unread: Unread,
}

/// A part on its way.
pub(super) struct Part<'a> {
    field: Field<'a>,
    unread: Unread,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let unread = Unread::default();
        let counted = unread.clone();
        let request = request.map(|body| Body::from_stream(in_turns(body.into_data_stream(), counted)));
        let parts = Multipart::from_request(request, state).await.map_err(|error| malformed(&error.body_text()))?;
        Ok(Self { parts, unread })
    }
}

/// The pieces of a body, while few bytes wait to be read. The parser asks for more whenever it is asked for something, also where it
/// has all that it needs: it is told that there is nothing for a moment.
fn in_turns(mut body: BodyDataStream, unread: Unread) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let mut rest = Bytes::new();
    futures::stream::poll_fn(move |context| {
        if unread.is_enough() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if rest.is_empty() {
            match body.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(piece))) => rest = piece,
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending => return Poll::Pending,
            }
        }
        let slice = rest.split_to(rest.len().min(SLICE_BYTES));
        unread.came(slice.len());
        if unread.is_too_much() {
            return Poll::Ready(Some(Err(axum::Error::new("too much of it belongs to no part"))));
        }
        Poll::Ready(Some(Ok(slice)))
    })
}

impl Form {
    /// The next part; what is left of the one before is skipped.
    pub(super) async fn next_part(&mut self) -> Result<Option<Part<'_>>, ApiError> {
        let field = self.parts.next_field().await.map_err(|error| refused(&self.unread, &error))?;
        self.unread.found();
        Ok(field.map(|field| Part { field, unread: self.unread.clone() }))
    }

    /// Lets so many bytes more come that belong to nothing, to be skipped.
    pub(super) fn let_come(&self, bytes: usize) {
        self.unread.was_read(bytes);
    }
}

impl Part<'_> {
    pub(super) fn name(&self) -> Option<&str> {
        self.field.name()
    }

    /// As the part names it, in either of the two ways.
    pub(super) fn file_name(&self) -> Option<String> {
        let disposition = || self.field.headers().get(CONTENT_DISPOSITION)?.to_str().ok();
        self.field.file_name().map(str::to_owned).or_else(|| extended_name(disposition()?))
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        let chunk = self.field.chunk().await.map_err(|error| refused(&self.unread, &error))?;
        if let Some(bytes) = &chunk {
            self.unread.was_read(bytes.len());
        }
        Ok(chunk)
    }
}

/// The name in `filename*=UTF-8''…` (RFC 8187). Forms are to have none (RFC 7578, 4.2), and some clients send nothing else.
fn extended_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename*").then_some(value.trim())
    })?;
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then(|| percent_decoded(encoded))?
}

fn percent_decoded(encoded: &str) -> Option<String> {
    let (mut decoded, mut rest) = (Vec::with_capacity(encoded.len()), encoded);
    while let Some((before, after)) = rest.split_once('%') {
        decoded.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).ok()
}

fn refused(unread: &Unread, error: &MultipartError) -> ApiError {
    if unread.is_too_much() {
        return malformed(&format!("a part's head, or what stands before it, has more than {UNREAD_BYTES_MAX} bytes"));
    }
    malformed(&error.body_text())
}

pub(super) fn malformed(problem: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the upload cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pieces: Vec<Vec<u8>>) -> Request {
        let body = Body::from_stream(futures::stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>)));
        Request::builder().method("POST").header("content-type", "multipart/form-data; boundary=x").body(body).unwrap()
    }

    async fn read(pieces: Vec<Vec<u8>>) -> Result<usize, ApiError> {
        let mut form = Form::from_request(request(pieces), &()).await?;
        let mut total = 0;
        while let Some(mut part) = form.next_part().await? {
            while let Some(bytes) = part.chunk().await? {
                total += bytes.len();
            }
        }
        Ok(total)
    }

    #[tokio::test]
    async fn a_file_is_named_in_either_way() {
        for (parameters, expected) in [
            ("filename=\"a.txt\"", Some("a.txt")),
            ("filename*=UTF-8''Gr%C3%B6%C3%9Fe%20(2).txt", Some("Größe (2).txt")),
            ("FileName*=utf-8'de'a.txt; size=3", Some("a.txt")),
            ("filename=\"a.txt\"; filename*=UTF-8''b.txt", Some("a.txt")),
            ("filename*=ISO-8859-1''%e4.txt", None),
            ("filename*=UTF-8''%e4.txt", None),
            ("filename*=UTF-8''%4", None),
            ("filename*=a.txt", None),
            ("size=3", None),
        ] {
            let body = format!("--x\r\nContent-Disposition: form-data; name=\"file\"; {parameters}\r\n\r\nabc\r\n--x--\r\n");
            let mut form = Form::from_request(request(vec![body.into_bytes()]), &()).await.unwrap();
            assert_eq!(form.next_part().await.unwrap().unwrap().file_name().as_deref(), expected, "{parameters}");
        }
    }

    /// 1.5 MiB of a file are read; 1 MiB before the first part, in a part's head, or between two are refused.
    #[tokio::test]
    async fn a_form_holds_little_that_is_of_no_part() {
        const HEAD: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let lot = |bytes: usize| vec![vec![b'a'; 1 << 14]; bytes >> 14];
        let all = |pieces: &[&[Vec<u8>]]| pieces.concat();
        let head = || vec![HEAD.to_vec()];
        let end = || vec![b"\r\n--x--\r\n".to_vec()];
        assert_eq!(read(all(&[&head(), &lot(3 << 19), &end()])).await.unwrap(), 3 << 19);
        // as they come from a fast network: several files in pieces of any size
        let several = |files: usize, bytes: usize| {
            let file = [HEAD, &vec![b'a'; bytes], b"\r\n"].concat();
            let mut body = file.repeat(files);
            body.extend_from_slice(b"--x--\r\n");
            body.chunks(417_000).map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        for (files, bytes) in [(6, 300 << 10), (80, 20_000), (1_000, 1_000), (3_000, 0)] {
            assert_eq!(read(several(files, bytes)).await.unwrap(), files * bytes, "{files} files of {bytes} bytes");
        }
        for endless in [
            all(&[&lot(1 << 20), &head(), &end()]),
            all(&[&[b"--x\r\nX-Long: ".to_vec()], &lot(1 << 20), &end()]),
            all(&[&head(), &[b"b\r\n--x\r\nX-Long: ".to_vec()], &lot(1 << 20), &end()]),
        ] {
            let error = read(endless).await.unwrap_err();
            assert!(error.body().to_string().contains("524288 bytes"), "{}", error.body());
        }
    }
}
