//! Server-sent events (WHATWG HTML, 9.2), as far as chat completions use them: the data of each event.

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl Events {
    /// The data of the events that `bytes` completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let mut complete = Vec::new();
        let mut from = 0;
        while let Some(length) = self.buffer.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let line = self.buffer.get(from..from + length).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                if std::mem::take(&mut self.has_data) {
                    complete.push(std::mem::take(&mut self.data));
                }
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            }
            from += length + 1;
        }
        self.buffer.drain(..from);
        complete
    }

    /// Bytes that are kept until an event is complete.
    pub(super) fn pending(&self) -> usize {
        self.buffer.len() + self.data.len()
    }

    /// The event that the stream ended in without an empty line: some services leave it out.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        let mut last = self.push(b"\n\n");
        last.pop()
    }
}
