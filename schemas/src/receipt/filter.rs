//! Which members of a version an answer may rest on.

use alloy_primitives::Address;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::Source;
use crate::ids::DocumentId;

/// Values in a list at most.
const MAX_VALUES: usize = 64;
/// An SPDX expression that is signed is no longer.
const MAX_LICENCE_BYTES: usize = 256;

/// Of the members of a version those that satisfy all that is stated; where a list has several values, one of them. What is empty
/// or absent states nothing. Values ascend, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "addresses")]
    pub contributors: Vec<Address>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentId>,
    /// SPDX expressions, as their submissions state them but for the case of letters, which means nothing in SPDX.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<String>,
    /// Received then or later: UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_from_ms: Option<i64>,
    /// Received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_before_ms: Option<i64>,
}

/// Says what is wanted where something else is given.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let address = |text: String| {
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(80).collect();
            D::Error::custom(format!("{shown:?} among the contributors is no address: 0x and 40 hexadecimal digits"))
        })
    };
    texts.into_iter().map(address).collect()
}

impl Filter {
    /// In the one form that receipts have.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.contributors.sort_unstable();
        self.contributors.dedup();
        self.documents.sort_unstable();
        self.documents.dedup();
        self.licences.sort_unstable();
        self.licences.dedup();
        self
    }

    /// Whether it lets a source be found, as far as the source itself says.
    pub fn admits(&self, source: &Source) -> bool {
        (self.contributors.is_empty() || self.contributors.contains(&source.contributor))
            && (self.documents.is_empty() || self.documents.contains(&source.document_id))
    }

    /// What is no filter: one that states nothing, not in its one form, or without end.
    pub fn problem(&self) -> Option<&'static str> {
        let Self { contributors, documents, licences, received_from_ms: from, received_before_ms: before } = self;
        if *self == Self::default() {
            return Some("a filter states something, or is left out");
        }
        if *self != self.clone().ordered() {
            return Some("the values of a filter ascend, each once");
        }
        if [contributors.len(), documents.len(), licences.len()].into_iter().any(|values| values > MAX_VALUES) {
            return Some("a filter has at most 64 values of a kind");
        }
        if licences.iter().any(|licence| licence.is_empty() || licence.len() > MAX_LICENCE_BYTES) {
            return Some("a licence in a filter has 1 to 256 bytes");
        }
        let is_empty = from.zip(*before).is_some_and(|(from, before)| from >= before);
        is_empty.then_some("a filter begins before it ends")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_states_something_in_one_way_is_a_filter() {
        let account = |n: u8| Address::repeat_byte(n);
        let licences = |licences: &[&str]| Filter { licences: licences.iter().map(|one| (*one).to_owned()).collect(), ..Filter::default() };
        assert_eq!(licences(&["CC0-1.0"]).problem(), None);
        let twice = Filter { contributors: vec![account(2), account(1), account(2)], ..Filter::default() };
        assert!(twice.problem().is_some_and(|problem| problem.contains("ascend")));
        assert_eq!((twice.clone().ordered().problem(), twice.ordered().contributors), (None, vec![account(1), account(2)]));
        for (filter, problem) in [
            (Filter::default(), "states something"),
            (licences(&["b", "a"]), "ascend"),
            (licences(&[""]), "1 to 256 bytes"),
            (licences(&[&"x".repeat(257)]), "1 to 256 bytes"),
            (Filter { contributors: (0..65).map(account).collect(), ..Filter::default() }, "at most 64"),
            (Filter { received_from_ms: Some(5), received_before_ms: Some(5), ..Filter::default() }, "begins before"),
        ] {
            assert!(filter.problem().is_some_and(|told| told.contains(problem)), "{filter:?}: {:?}", filter.problem());
        }
    }
}
