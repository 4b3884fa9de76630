//! One event as a table: where each parameter stands and what its column holds.

use std::sync::Arc;

use super::abi::{AbiEvent, Parameter};
use super::names::distinct;
use super::types::AbiType;
use super::{ColumnKind, Emitter, EventBody, EventColumn, EventTable, Place, WordType, column_name};

/// How integers of 256 bits are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// As digits, with a column `NAME_decimal` beside them: contracts of others use all 256 bits.
    Digits,
    /// As decimals: our contracts' amounts are below the token's supply. A nonce is whatever a payer chose.
    Amounts,
}

/// Where each parameter stands, in their order, and the types of the data.
pub(super) fn places(event: &AbiEvent) -> (Vec<Place>, EventBody) {
    let (mut topics, mut body, mut places) = (0u8, EventBody(Vec::new()), Vec::with_capacity(event.parameters.len()));
    for Parameter { ty, indexed, .. } in &event.parameters {
        places.push(match (indexed, ty) {
            (true, AbiType::Word(word)) => {
                topics += 1;
                Place::Topic(topics, *word)
            }
            // Only the hash of such a value is in the log.
            (true, _) => {
                topics += 1;
                Place::Topic(topics, WordType::FixedBytes(32))
            }
            (false, AbiType::Word(word)) => Place::Data(body.head_words_before(body.0.len()), *word),
            (false, _) => Place::Body(body.0.len()),
        });
        if !indexed {
            body.0.push(ty.clone());
        }
    }
    (places, body)
}

impl AbiEvent {
    /// Where the parameter stands that is named so and is an address.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn place_of_address(&self, parameter: &str) -> Result<Place, String> {
        let named = self.parameters.iter().position(|found| found.name == parameter);
        let index = named.ok_or_else(|| format!("event {} has no parameter {parameter}", self.name))?;
        match places(self).0.get(index) {
            Some(place @ (Place::Topic(_, WordType::Address) | Place::Data(_, WordType::Address))) => Ok(*place),
            _ => Err(format!("parameter {parameter} of {} is not an address", self.name)),
        }
    }
}

pub(super) fn of_event(event: &AbiEvent, name: String, emitter: Emitter, wide: Wide) -> EventTable {
    let (places, body) = places(event);
    let (mut columns, mut twins) = (Vec::with_capacity(places.len()), Vec::new());
    for ((index, parameter), place) in event.parameters.iter().enumerate().zip(places) {
        let hashed = parameter.indexed && !matches!(parameter.ty, AbiType::Word(_));
        let name = column_name(&parameter.name, index, &parameter.ty);
        let name = if hashed { format!("{name}_hash") } else { name };
        let (kind, has_twin) = match place {
            Place::Topic(_, word) | Place::Data(_, word) => word.column(if parameter.name == "nonce" { Wide::Digits } else { wide }),
            Place::Body(_) => (ColumnKind::Text, false),
        };
        columns.push(EventColumn { name, place, kind });
        if has_twin {
            twins.push(index);
        }
    }
    distinct(columns.iter_mut().map(|column| &mut column.name).collect());
    for index in twins {
        let twin =
            columns.get(index).map(|of| EventColumn { name: format!("{}_decimal", of.name), place: of.place, kind: ColumnKind::Decimal });
        columns.extend(twin);
    }
    distinct(columns.iter_mut().map(|column| &mut column.name).collect());
    let indexed = u8::try_from(event.indexed_count()).unwrap_or(u8::MAX);
    EventTable { name, emitter, topic0: event.topic0(), indexed, takes: None, columns, body: Arc::new(body) }
}

impl WordType {
    /// What a column of it holds, and whether a decimal stands beside it.
    fn column(self, wide: Wide) -> (ColumnKind, bool) {
        match self {
            Self::Bool => (ColumnKind::Boolean, false),
            Self::Uint(..64) | Self::Int(..=64) => (ColumnKind::Int64, false),
            Self::Uint(64) => (ColumnKind::Uint64, false),
            Self::Uint(256) | Self::Int(256) if wide == Wide::Digits => (ColumnKind::Text, true),
            Self::Uint(_) | Self::Int(_) => (ColumnKind::Decimal, false),
            Self::Address | Self::FixedBytes(_) => (ColumnKind::Text, false),
        }
    }
}
