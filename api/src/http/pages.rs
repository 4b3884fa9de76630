//! Lists a page at a time: `?limit=N&after=KEY`. One with fewer than `limit` items is the last.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use super::{ApiError, Reply};

/// Items of a page, unless fewer are asked for.
pub(crate) const MAX_ITEMS: usize = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pages {
    limit: Option<usize>,
    /// The key of the last item of the page before.
    after: Option<String>,
}

/// As a handler takes it.
pub(super) type AskedPage = Result<Query<Pages>, QueryRejection>;

/// The page that is asked for.
pub(super) fn page<T>(asked: AskedPage, items: Vec<T>, key: impl Fn(&T) -> String) -> Reply<Vec<T>> {
    let (limit, after) = bounds(asked)?;
    let start = match &after {
        None => 0,
        Some(after) => items.iter().position(|item| key(item) == *after).ok_or_else(|| not_listed(after))? + 1,
    };
    Ok(items.into_iter().skip(start).take(limit).collect())
}

/// How many items are asked for, and after which.
pub(super) fn bounds(asked: AskedPage) -> Reply<(usize, Option<String>)> {
    let Query(Pages { limit, after }) = asked.map_err(|error| ApiError::bad_request(format!("limit or after: {}", error.body_text())))?;
    let limit = limit.unwrap_or(MAX_ITEMS);
    if !(1..=MAX_ITEMS).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("{limit} is not in 1 to {MAX_ITEMS}")));
    }
    Ok((limit, after))
}

/// A key that no item of the list has.
pub(super) fn not_listed(after: &str) -> ApiError {
    let shown: String = after.chars().take(80).collect();
    ApiError::not_there("after", "not_found", format!("there is no item {shown:?} in this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let get = |query: &str| {
            let asked = Query::try_from_uri(&format!("/list?{query}").parse().unwrap());
            page(asked, (1..=2_500u64).collect(), u64::to_string)
        };
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let items = get(&after).unwrap();
            after = format!("after={}", items.last().unwrap());
            let is_last = items.len() < MAX_ITEMS;
            seen.extend(items);
            if is_last {
                break;
            }
        }
        assert_eq!(seen, (1..=2_500).collect::<Vec<u64>>());
        assert_eq!(get("limit=2&after=7").unwrap(), [8, 9]);
        assert_eq!(get("after=2500").unwrap(), Vec::<u64>::new());
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x", "after=0", "page=2"] {
            let error = get(wrong).unwrap_err().body()["error"]["message"].to_string();
            assert!(error.contains("limit") || error.contains("after"), "{wrong}: {error}");
        }
    }
}
