//! Who is let through a door: a key of the right role, or a curator who signed for it. What the table of
//! doors does not allow is refused before a handler runs.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::ids::{DatanetId, parse_address};
use schemas::signed::{self, SigningDomain, check_signature};
use schemas::signer::Signer;
use schemas::tables::Millis;

use super::{ApiError, App, Reply};
use crate::auth::{Caller, Role};

/// Who may call a route.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// Everybody.
    Public,
    /// Everybody: what is sent is signed by its author, and the handler checks that.
    Signed,
    /// A key of one of these roles, or an operator's.
    Keys(&'static [Role]),
    /// A curator of the Datanet in question, by [`CURATOR_HEADER`], or an operator's key.
    Curators,
}

/// What stands before one route.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) service: App,
    pub(super) who: Who,
}

/// Lets a request through to its handler, or not.
pub(super) async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match examine(&guard, request.headers()).await {
        Ok(Admission { caller, insider }) => {
            request.extensions_mut().insert(Optional(caller.clone()));
            if let Some(caller) = caller {
                request.extensions_mut().insert(Authenticated(caller));
            }
            if let Some(insider) = insider {
                request.extensions_mut().insert(insider);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

#[derive(Default)]
struct Admission {
    caller: Option<Caller>,
    insider: Option<Insider>,
}

async fn examine(guard: &Guard, headers: &HeaderMap) -> Reply<Admission> {
    let caller = || {
        let key = bearer(headers);
        key.and_then(|key| guard.service.keys.caller(key)).ok_or_else(|| match key {
            Some(_) => ApiError::unauthorised("the API key is not known or was revoked"),
            None => ApiError::unauthorised("this needs an API key: send `Authorization: Bearer hw_…`"),
        })
    };
    match guard.who {
        // A key that is not needed is not complained about.
        Who::Public | Who::Signed => Ok(Admission { caller: caller().ok(), insider: None }),
        Who::Keys(roles) => {
            let caller = caller()?;
            if caller.may(roles) { Ok(Admission { caller: Some(caller), insider: None }) } else { Err(wrong_role()) }
        }
        Who::Curators => match headers.get(CURATOR_HEADER) {
            Some(value) => {
                let text = value.to_str().unwrap_or_default();
                let insider = Some(Insider::Curator(curated(&guard.service, text).await?));
                Ok(Admission { caller: None, insider })
            }
            None => {
                let caller = caller()?;
                if !caller.may(&[]) {
                    return Err(ApiError::forbidden(format!(
                        "what is not published is for curators: sign the request ({CURATOR_HEADER}; `headwater review … --as NAME`)"
                    )));
                }
                Ok(Admission { caller: Some(caller), insider: Some(Insider::Operator) })
            }
        },
    }
}

fn wrong_role() -> ApiError {
    ApiError::forbidden("this API key may not do that; ask the operator for one with the right role")
}

/// The key in `Authorization: Bearer KEY`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// `ADDRESS DATANET EXPIRES SIGNATURE`: an EIP-712 `CuratorRequest`, good for one Datanet until the Unix second EXPIRES.
pub const CURATOR_HEADER: &str = "headwater-curator";
/// A signature for reading lasts at most this long, so that one that leaks is soon worth nothing.
const CURATOR_SECONDS_MAX: u64 = 600;

/// The value of [`CURATOR_HEADER`], signed by a curator for the next five minutes.
pub fn curator_header(domain: &SigningDomain, signer: &dyn Signer, datanet: DatanetId) -> anyhow::Result<String> {
    let expires = Millis::now().unix_seconds() + CURATOR_SECONDS_MAX / 2;
    let message = signed::curator_request(signer.address(), datanet, expires);
    let signature = signer.sign_digest(domain.digest(&message))?;
    Ok(format!("{:#x} {datanet} {expires} {signature}", signer.address()))
}

/// The Datanet whose curator signed `header`.
async fn curated(service: &App, header: &str) -> Reply<DatanetId> {
    let parts: Vec<&str> = header.split_ascii_whitespace().collect();
    let [address, datanet, expires, signature] = parts[..] else {
        return Err(ApiError::unauthorised(format!("{CURATOR_HEADER}: use ADDRESS DATANET EXPIRES SIGNATURE")));
    };
    let (address, datanet) = (parse_address(address)?, datanet.parse::<DatanetId>()?);
    let expires: u64 =
        expires.parse().map_err(|_| ApiError::unauthorised(format!("{CURATOR_HEADER}: {expires:?} is not a Unix second")))?;
    let now = Millis::now().unix_seconds();
    if expires < now || expires > now + CURATOR_SECONDS_MAX {
        return Err(ApiError::unauthorised(format!(
            "{CURATOR_HEADER}: the signature is good until {expires} and it is {now}; it must end within {CURATOR_SECONDS_MAX} s from now"
        )));
    }
    check_signature(service.domain().digest(&signed::curator_request(address, datanet, expires)), signature, address)?;
    let row = service.ingest.datanet(&datanet.to_string()).await?;
    if row.curators.contains(&address) {
        Ok(datanet)
    } else {
        Err(ApiError::forbidden(format!("{address} is no curator of Datanet {:?}", row.name)))
    }
}

/// A caller with a valid API key of a role that the route takes.
#[derive(Debug, Clone)]
pub(super) struct Authenticated(pub(super) Caller);

/// The caller of a route that needs no key.
#[derive(Debug, Clone)]
pub(super) struct Optional(pub(super) Option<Caller>);

impl Optional {
    pub(super) fn is_operator(&self) -> bool {
        self.0.as_ref().is_some_and(|caller| caller.may(&[]))
    }
}

/// Who sees what is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insider {
    Operator,
    /// Of this Datanet alone.
    Curator(DatanetId),
}

impl Insider {
    /// # Errors
    /// 403 for another Datanet than the one whose curator signed.
    pub(super) fn may_see(self, datanet: DatanetId) -> Reply<()> {
        match self {
            Self::Operator => Ok(()),
            Self::Curator(own) if own == datanet => Ok(()),
            Self::Curator(own) => Err(ApiError::forbidden(format!("the request is signed for Datanet {own}, and this is of {datanet}"))),
        }
    }
}

/// Handlers get what [`admit`] put there; without it they are behind no guard that could have let anybody in.
macro_rules! admitted {
    ($($kind:ty),+) => { $(
        impl FromRequestParts<App> for $kind {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _service: &App) -> Reply<Self> {
                parts.extensions.get::<Self>().cloned().ok_or_else(wrong_role)
            }
        }
    )+ };
}
admitted!(Authenticated, Optional, Insider);

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        for (text, key) in [
            ("Bearer hw_1", Some("hw_1")),
            ("bearer hw_1", Some("hw_1")),
            ("BEARER   hw_1 ", Some("hw_1")),
            ("Basic hw_1", None),
            ("Bearer", None),
            ("hw_1", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(text))]);
            assert_eq!(bearer(&headers), key, "{text:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
