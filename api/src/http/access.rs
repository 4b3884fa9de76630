//! Who is let through a door: a key of the right role, or a curator who signed for it. What the table of
//! doors does not allow is refused before a handler runs.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::Address;
use schemas::ids::{DatanetId, parse_address};
use schemas::signed::contributors::SubmissionListing;
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
    /// The same, and whoever sent it in, by [`CONTRIBUTOR_HEADER`].
    CuratorsAndContributors,
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
    let caller = || guard.service.keys.caller(bearer(headers)?).ok_or_else(unknown_key);
    match guard.who {
        // A key that is not needed is not complained about.
        Who::Public | Who::Signed => Ok(Admission { caller: caller().ok(), insider: None }),
        Who::Keys(roles) => {
            let caller = caller()?;
            if caller.may(roles) { Ok(Admission { caller: Some(caller), insider: None }) } else { Err(wrong_role()) }
        }
        Who::CuratorsAndContributors if headers.contains_key(CONTRIBUTOR_HEADER) => {
            let text = headers.get(CONTRIBUTOR_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let insider = Some(Insider::Contributor(contributing(&guard.service.domain(), text)?));
            Ok(Admission { caller: None, insider })
        }
        Who::Curators | Who::CuratorsAndContributors => match headers.get(CURATOR_HEADER) {
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

fn unknown_key() -> ApiError {
    let challenge = HeaderValue::from_static("Bearer realm=\"headwater\", error=\"invalid_token\"");
    ApiError::unauthorised("the API key is not known or was revoked").with_header(WWW_AUTHENTICATE, challenge)
}

/// Where other services read their keys (Azure's, Anthropic's).
const KEY_HEADERS_ELSEWHERE: [&str; 2] = ["api-key", "x-api-key"];

/// The key in `Authorization: Bearer KEY`. The scheme's case does not matter, and the blanks after it may be several
/// (RFC 9110, 11.1 and 11.4).
///
/// # Errors
/// 401, which says what is there instead of it. What is there may be a secret, and is not shown.
fn bearer(headers: &HeaderMap) -> Reply<&str> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        let elsewhere = KEY_HEADERS_ELSEWHERE.into_iter().find(|name| headers.contains_key(*name));
        let problem = elsewhere.map_or("this needs an API key".into(), |name| format!("the header `{name}` is not read for an API key"));
        return Err(ApiError::unauthorised(format!("{problem}: send `Authorization: Bearer hw_…`")));
    };
    let parts = value.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match parts {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        _ => Err(ApiError::unauthorised(
            "the Authorization header is there, but it is not `Bearer KEY`: send the word Bearer, a blank, and the API key, like \
             `Authorization: Bearer hw_…`",
        )),
    }
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

/// `ADDRESS EXPIRES SIGNATURE`: an EIP-712 `SubmissionListing`, for what the address sent in, until the Unix second EXPIRES.
pub const CONTRIBUTOR_HEADER: &str = "headwater-contributor";

/// The value of [`CONTRIBUTOR_HEADER`], for as long as [`sign_listing`] says.
pub fn contributor_header(domain: &SigningDomain, signer: &dyn Signer) -> anyhow::Result<String> {
    let SubmissionListing { contributor, deadline, signature } = sign_listing(domain, signer)?;
    Ok(format!("{contributor:#x} {deadline} {signature}"))
}

/// Whoever sees what was signed to read can read the same until then.
const LISTING_SECONDS_MAX: u64 = 120;

/// Signed for the next minute.
pub fn sign_listing(domain: &SigningDomain, signer: &dyn Signer) -> anyhow::Result<SubmissionListing> {
    Ok(SubmissionListing::sign(signer, domain, Millis::now().unix_seconds() + LISTING_SECONDS_MAX / 2)?)
}

/// That a contributor signed to read, and for a short time.
pub(super) fn check_listing(domain: &SigningDomain, listing: &SubmissionListing) -> Reply<()> {
    let now = Millis::now().unix_seconds();
    if listing.deadline < now || listing.deadline > now + LISTING_SECONDS_MAX {
        let problem = format!("{} is not within {LISTING_SECONDS_MAX} s from now, which is {now}", listing.deadline);
        return Err(ApiError::parameter("deadline", problem));
    }
    Ok(listing.check(domain)?)
}

/// The contributor who signed `header`.
fn contributing(domain: &SigningDomain, header: &str) -> Reply<Address> {
    let parts: Vec<&str> = header.split_ascii_whitespace().collect();
    let [address, deadline, signature] = parts[..] else {
        return Err(ApiError::unauthorised(format!("{CONTRIBUTOR_HEADER}: use ADDRESS EXPIRES SIGNATURE")));
    };
    let deadline =
        deadline.parse().map_err(|_| ApiError::unauthorised(format!("{CONTRIBUTOR_HEADER}: {deadline:?} is not a Unix second")))?;
    let listing = SubmissionListing { contributor: parse_address(address)?, deadline, signature: signature.to_owned() };
    check_listing(domain, &listing)?;
    Ok(listing.contributor)
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
    /// Of what this address sent in alone.
    Contributor(Address),
}

impl Insider {
    /// # Errors
    /// 403 for another Datanet than the one whose curator signed.
    pub(super) fn may_see(self, datanet: DatanetId) -> Reply<()> {
        match self {
            Self::Operator => Ok(()),
            Self::Curator(own) if own == datanet => Ok(()),
            Self::Curator(own) => Err(ApiError::forbidden(format!("the request is signed for Datanet {own}, and this is of {datanet}"))),
            Self::Contributor(_) => Err(ApiError::forbidden("the request is signed by a contributor, and this is for curators")),
        }
    }

    /// # Errors
    /// 403 for a submission to another Datanet, or of another contributor, than the one who signed.
    pub(super) fn may_see_submission(self, datanet: DatanetId, contributor: Address) -> Reply<()> {
        match self {
            Self::Contributor(own) if own == contributor => Ok(()),
            Self::Contributor(own) => {
                Err(ApiError::forbidden(format!("the request is signed by {own}, and this was sent in by somebody else")))
            }
            Self::Operator | Self::Curator(_) => self.may_see(datanet),
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
    use axum::http::HeaderName;
    use schemas::B256;
    use schemas::signer::KeySigner;

    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        for text in ["Bearer hw_1", "bearer hw_1", "BEARER   hw_1 "] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(text))]);
            assert_eq!(bearer(&headers).unwrap(), "hw_1", "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_read_is_told_from_none() {
        let problem = |name: &'static str, text: &str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_bytes(text.as_bytes()).unwrap())]);
            let problem = bearer(&headers).unwrap_err().body()["error"]["message"].as_str().unwrap().to_owned();
            assert!(problem.contains("`Authorization: Bearer hw_…`") && !problem.contains("hw_1"), "{name}: {text:?}: {problem}");
            problem
        };
        for text in ["Basic hw_1", "hw_1", "Bearer: hw_1", "Bearer\thw_1", "Bearer=hw_1", "Bearer", "Bearer ", "", "Bearer\u{a0}hw_1"] {
            assert!(problem("authorization", text).contains("is there, but it is not `Bearer KEY`"), "{text:?}");
        }
        for name in KEY_HEADERS_ELSEWHERE {
            assert!(problem(name, "hw_1").contains(&format!("`{name}` is not read")));
        }
        assert!(problem("accept", "*/*").starts_with("this needs an API key"));
    }

    #[test]
    fn an_unknown_key_is_told_as_bearer_tokens_are() {
        let response = unknown_key().into_response();
        assert_eq!(response.headers().get_all(WWW_AUTHENTICATE).iter().count(), 1);
        assert!(response.headers()[WWW_AUTHENTICATE].to_str().unwrap().ends_with("error=\"invalid_token\""));
    }

    #[test]
    fn contributors_see_what_they_sent_in_and_for_a_short_time() {
        let domain = SigningDomain { chain_id: 1, registry: Address::repeat_byte(1) };
        let signer = KeySigner::from_bytes(&B256::repeat_byte(9)).unwrap();
        let (own, other, datanet) = (signer.address(), Address::repeat_byte(2), DatanetId::default());
        let header = contributor_header(&domain, &signer).unwrap();
        assert_eq!(contributing(&domain, &header).unwrap(), own);
        let foreign = SigningDomain { chain_id: 2, ..domain };
        let late = SubmissionListing::sign(&signer, &domain, Millis::now().unix_seconds() + 2 * LISTING_SECONDS_MAX).unwrap();
        let for_another = header.replace(&format!("{own:#x}"), &format!("{other:#x}"));
        for refused in [
            contributing(&foreign, &header),
            contributing(&domain, &for_another),
            contributing(&domain, &format!("{own:#x} {} {}", late.deadline, late.signature)),
            contributing(&domain, "0x1 soon"),
        ] {
            refused.unwrap_err();
        }
        assert!(Insider::Contributor(own).may_see_submission(datanet, own).is_ok());
        assert!(Insider::Contributor(own).may_see_submission(datanet, other).is_err());
        assert!(Insider::Contributor(own).may_see(datanet).is_err(), "what curators see is not theirs to see");
        assert!(Insider::Operator.may_see_submission(datanet, other).is_ok());
        assert!(Insider::Curator(datanet).may_see_submission(datanet, other).is_ok());
        assert!(Insider::Curator(DatanetId(B256::repeat_byte(3))).may_see_submission(datanet, other).is_err());
    }
}
