//! What one forward pass is given: rows of many sequences, and where each sequence's keys and values lie.

use crate::kernels::Segment;

/// All that the rows of one sequence see: every token of all segments, and of the last one what comes before the row
/// and the row itself. Rows of this pass are appended to the last segment, whose pages have room for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    /// Never empty.
    pub(crate) segments: &'a [Segment<'a>],
    /// The sequence is longer than [`crate::architecture::Stretched::after`] tokens; so then is every key that it sees rotated.
    pub(crate) stretched: bool,
}

/// One token to be computed. The rows of a view lie together, in the order of their tokens; row *i* of a view goes to
/// place `last segment's tokens + i`, at position `first_position + place`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) token: u32,
    /// Index into [`Batch::views`].
    pub(crate) view: u32,
    /// Index into the adapters that the decoder has loaded.
    pub(crate) adapter: Option<u32>,
    /// Whether its final hidden state is returned.
    pub(crate) wanted: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) views: &'a [View<'a>],
}
