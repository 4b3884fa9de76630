//! Where keys and values lie: pages of the key-value cache, and runs of tokens in them.

/// A page of the key-value cache: [`PAGE_TOKENS`] tokens of every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PageId(pub(crate) u32);

/// Tokens of a page.
pub(crate) const PAGE_TOKENS: usize = 32;

/// A run of tokens at consecutive positions, whose keys and values lie in pages. The last page may be partly filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) pages: &'a [PageId],
    /// Cached tokens of the segment; in the last segment of a view the rows of this pass are not counted yet.
    pub(crate) tokens: usize,
    /// Position of its first token.
    pub(crate) first_position: usize,
}
