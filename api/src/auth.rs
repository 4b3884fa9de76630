//! API keys: of each its sha256 is kept, never the key. An app's key is made by who holds it, and its hash is what the
//! payer signs; the others are made here and shown once. Deny by default: a route names the roles that may call it, and
//! nothing else can.

mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use schemas::Address;
use schemas::hashing::sha256;
use schemas::ids::Sha256;
use schemas::signed::apps::{AppAuthorisation, app_key_id};
use schemas::tables::{ApiKeyRow, Millis};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

pub use room::AUTHORISATION_SECONDS_MAX;

const MAX_NAME_BYTES: usize = 100;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Operator,
    /// Ask questions; answers are paid for by the key's payer.
    App,
    /// Query tables.
    Analyst,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::App => "app",
            Self::Analyst => "analyst",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Operator, Self::App, Self::Analyst].into_iter().find(|role| role.name() == name)
    }
}

/// Who is calling.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key_id: String,
    pub roles: Vec<Role>,
    pub payer: Option<Address>,
}

impl Caller {
    pub fn may(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| *role == Role::Operator || roles.contains(role))
    }
}

/// A key as its payer and the operator see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKey {
    pub key_id: String,
    pub name: String,
    pub roles: Vec<Role>,
    pub payer: Option<Address>,
    pub revoked: bool,
    pub created_at: Millis,
}

/// Why a key was not registered or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "name: use 1 to {max} bytes that are all seen, in one line, without white space but single spaces between words, and no letters of \
         alphabets that look alike (Latin, Greek, Cyrillic) beside each other",
        max = MAX_NAME_BYTES
    )]
    Name,
    #[error("this key is registered for another app: make a new one and sign for that")]
    Taken,
    #[error("{payer} has {} apps, as many as one payer may have: revoke one that is not used (`headwater apps revoke`)", .limit)]
    TooMany { payer: Address, limit: usize },
    #[error(
        "this service has {} keys, as many as it keeps, and all are of payers who deposited, or were revoked within an hour: its operator can \
         raise settlement.apps_max",
        .limit
    )]
    Full { limit: usize },
    #[error("this key was revoked, which cannot be undone: make a new one and sign for that")]
    Revoked,
    #[error("there is no key {0:?} of yours; list your keys to see their ids")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many keys are kept: everybody may register some.
#[derive(Debug, Clone, Copy)]
pub struct KeyLimits {
    /// Those that are not revoked, and those that were within an hour.
    pub of_payer: usize,
    /// With all that are revoked, until their place is needed.
    pub in_all: usize,
}

/// All keys, also those that are revoked: a signature that was shown once must not bring one back while it can be handed in.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    limits: KeyLimits,
    by_hash: Arc<RwLock<BTreeMap<Sha256, ApiKeyRow>>>,
    /// Payers who are known to have paid something in: their apps stay.
    have_paid: Arc<RwLock<BTreeSet<Address>>>,
    /// One registration or revocation at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Keys {
    pub async fn open(store: Store, limits: KeyLimits) -> Result<Self, StoreError> {
        let mut rows: Vec<ApiKeyRow> = store.scan(None).await?;
        // A revocation counts whatever else is said of its key.
        rows.sort_by_key(|row| row.revoked);
        let by_hash = rows.into_iter().map(|row| (row.key_sha256, row)).collect();
        Ok(Self { store, limits, by_hash: Arc::new(RwLock::new(by_hash)), have_paid: Arc::default(), changing: Arc::default() })
    }

    /// Makes a key that no payer pays for; the returned text is the only copy.
    pub async fn issue(&self, name: &str, roles: &[Role]) -> Result<String, KeyError> {
        check_name(name)?;
        let key = new_key();
        let _single = self.changing.lock().await;
        self.keep(row(name, roles, sha256(key.as_bytes()), None)).await?;
        Ok(key)
    }

    /// Registers an app as its payer signed it; the caller has checked the signature. The same again is the same app. Where there
    /// are as many keys as are kept, others give way ([`Keys::check_room`]); `has_paid` says whether a payer ever paid something in.
    pub async fn register<E: From<KeyError>, F: Future<Output = Result<bool, E>>>(
        &self,
        app: &AppAuthorisation,
        has_paid: impl Fn(Address) -> F,
    ) -> Result<ListedKey, E> {
        let _single = self.changing.lock().await;
        if let Some(known) = self.check(app)? {
            return Ok(known);
        }
        self.make_room(has_paid).await?;
        Ok(self.keep(row(&app.name, &[Role::App], app.key_hash, Some(app))).await.map_err(KeyError::from)?)
    }

    /// Refuses what [`Keys::register`] would refuse whatever room there is. The app, where it is registered already.
    pub fn check(&self, app: &AppAuthorisation) -> Result<Option<ListedKey>, KeyError> {
        check_name(&app.name)?;
        let keys = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        match keys.get(&app.key_hash) {
            Some(known) if known.payer != Some(app.payer) || known.name != app.name => return Err(KeyError::Taken),
            Some(known) if known.revoked => return Err(KeyError::Revoked),
            Some(known) => return Ok(Some(listed(known))),
            None => {}
        }
        let of_payer = self.limits.of_payer;
        if keys.values().filter(|row| row.payer == Some(app.payer) && !room::is_past(row)).count() >= of_payer {
            return Err(KeyError::TooMany { payer: app.payer, limit: of_payer });
        }
        Ok(None)
    }

    /// Ends a key at once. `payer`: only if it is one of this payer's. Again, it changes nothing.
    pub async fn revoke(&self, key_id: &str, payer: Option<Address>) -> Result<ListedKey, KeyError> {
        let _single = self.changing.lock().await;
        let known = self.find(key_id).filter(|row| payer.is_none() || row.payer == payer);
        match known.ok_or_else(|| KeyError::Unknown(key_id.chars().take(80).collect()))? {
            known if known.revoked => Ok(listed(&known)),
            known => Ok(self.keep(ApiKeyRow { revoked: true, created_at: Millis::now(), ..known }).await?),
        }
    }

    /// The keys of one payer, or all; oldest first.
    pub fn list(&self, payer: Option<Address>) -> Vec<ListedKey> {
        let rows = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<ListedKey> = rows.values().filter(|row| payer.is_none() || row.payer == payer).map(listed).collect();
        keys.sort_by(|a, b| (a.created_at, &a.key_id).cmp(&(b.created_at, &b.key_id)));
        keys
    }

    /// Who holds this key. Looking up a hash tells nothing about other keys, however long it takes.
    pub fn caller(&self, key: &str) -> Option<Caller> {
        let rows = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(&sha256(key.as_bytes())).filter(|row| !row.revoked)?;
        Some(Caller { key_id: row.key_id.clone(), roles: roles(row), payer: row.payer })
    }

    fn find(&self, key_id: &str) -> Option<ApiKeyRow> {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).values().find(|row| row.key_id == key_id).cloned()
    }

    async fn keep(&self, row: ApiKeyRow) -> Result<ListedKey, StoreError> {
        self.store.insert_new(std::slice::from_ref(&row)).await?;
        let key = listed(&row);
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(row.key_sha256, row);
        Ok(key)
    }
}

/// A name is shown in lists, where it must not pass for another.
///
/// # Errors
/// [`KeyError::Name`].
pub fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    let is_spaced = name.split(' ').all(|word| !word.is_empty() && !word.chars().any(is_blank));
    if fits && is_spaced && !mixes_alphabets(name) && ingest::is_shown_in_a_line(name) { Ok(()) } else { Err(KeyError::Name) }
}

/// White space, and what is shown as some.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// Whether letters stand beside others that are drawn alike, as of "а" (Cyrillic) in a Latin word.
fn mixes_alphabets(name: &str) -> bool {
    let alphabet = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => Some("latin"),
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some("greek"),
        '\u{400}'..='\u{52f}' => Some("cyrillic"),
        _ => None,
    };
    let mut found = name.chars().filter_map(alphabet);
    found.next().is_some_and(|first| found.any(|other| other != first))
}

/// The text of a key: 256 random bits.
pub fn new_key() -> String {
    format!("hw_{:x}", schemas::B256::from(rand::random::<[u8; 32]>()))
}

fn row(name: &str, roles: &[Role], key_sha256: Sha256, app: Option<&AppAuthorisation>) -> ApiKeyRow {
    ApiKeyRow {
        key_id: app_key_id(key_sha256),
        name: name.to_owned(),
        key_sha256,
        roles: roles.iter().map(|role| role.name().to_owned()).collect(),
        payer: app.map(|app| app.payer),
        signature: app.map(|app| app.signature.clone()),
        revoked: false,
        created_at: Millis::now(),
    }
}

fn roles(row: &ApiKeyRow) -> Vec<Role> {
    row.roles.iter().filter_map(|role| Role::parse(role)).collect()
}

fn listed(row: &ApiKeyRow) -> ListedKey {
    let ApiKeyRow { key_id, name, payer, revoked, created_at, .. } = row.clone();
    ListedKey { key_id, name, roles: roles(row), payer, revoked, created_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: KeyLimits = KeyLimits { of_payer: 2, in_all: 5 };

    fn app(payer: u8, key: &str, name: &str) -> AppAuthorisation {
        let key_hash = sha256(key.as_bytes());
        AppAuthorisation { payer: Address::repeat_byte(payer), key_hash, name: name.into(), deadline: 0, signature: "0x".into() }
    }

    #[tokio::test]
    async fn a_key_is_known_until_it_is_revoked() {
        let store = Store::in_memory().await.unwrap();
        let keys = Keys::open(store.clone(), LIMITS).await.unwrap();
        let key = keys.issue("test", &[Role::Analyst]).await.unwrap();
        for keys in [&keys, &Keys::open(store.clone(), LIMITS).await.unwrap()] {
            let caller = keys.caller(&key).unwrap();
            assert!(caller.may(&[Role::Analyst]) && !caller.may(&[Role::App]) && !caller.may(&[]));
            assert!(keys.caller("hw_0_0").is_none() && keys.caller("").is_none());
        }
        let row = store.scan::<ApiKeyRow>(None).await.unwrap().remove(0);
        assert!(!format!("{row:?}").contains(&key));
        keys.revoke(&row.key_id, None).await.unwrap();
        assert!(keys.caller(&key).is_none(), "at once");
        assert!(Keys::open(store, LIMITS).await.unwrap().caller(&key).is_none(), "and after a restart");
    }

    #[tokio::test]
    async fn a_name_is_what_is_seen_of_it() {
        let keys = Keys::open(Store::in_memory().await.unwrap(), LIMITS).await.unwrap();
        for name in [
            "a\u{202e}b",
            "a\u{200b}",
            "a\u{fe0f}",
            "a\nb",
            "a\u{2028}b",
            "\u{3164}",
            "a\u{2800}",
            "a\u{a0}b",
            "a  b",
            "p\u{430}y",
            "\u{391}B",
            " a",
            "",
            " ",
            &"x".repeat(101),
        ] {
            assert!(matches!(keys.issue(name, &[Role::Analyst]).await, Err(KeyError::Name)), "{name:?}");
            assert!(matches!(keys.register(&app(1, "hw_mine", name), unpaid).await, Err(KeyError::Name)), "{name:?}");
        }
        assert!(keys.list(None).is_empty());
        for name in ["my-app", "Größe 2", "日本 API", "🧊", "склад 2"] {
            keys.issue(name, &[Role::Analyst]).await.unwrap();
        }
    }

    /// Nobody has paid anything in.
    async fn unpaid(_: Address) -> Result<bool, KeyError> {
        Ok(false)
    }

    #[tokio::test]
    async fn nobody_registers_apps_without_end() {
        let keys = Keys::open(Store::in_memory().await.unwrap(), LIMITS).await.unwrap();
        let first = keys.register(&app(1, "a", "app"), unpaid).await.unwrap();
        let second = keys.register(&app(1, "b", "app"), unpaid).await.unwrap();
        let third = app(1, "c", "app");
        assert!(matches!(keys.check(&third), Err(KeyError::TooMany { limit: 2, .. })));
        assert!(matches!(keys.register(&third, unpaid).await, Err(KeyError::TooMany { .. })), "and nobody else's are counted");
        assert_eq!(keys.register(&app(1, "a", "app"), unpaid).await.unwrap(), first, "what is there stays");
        for key in [&first, &second] {
            keys.revoke(&key.key_id, None).await.unwrap();
        }
        assert!(matches!(keys.check(&third), Err(KeyError::TooMany { .. })), "revoking makes no room at once");
        age(&keys, &second.key_id, AUTHORISATION_SECONDS_MAX + 1);
        assert!(matches!(keys.check(&app(1, "a", "app")), Err(KeyError::Revoked)));
        assert!(matches!(keys.check(&app(2, "b", "app")), Err(KeyError::Taken)), "told before anything is deposited");
        keys.register(&third, unpaid).await.unwrap();
    }

    /// Lets a key be older.
    fn age(keys: &Keys, key_id: &str, seconds: u64) {
        let mut rows = keys.by_hash.write().unwrap();
        let row = rows.values_mut().find(|row| row.key_id == key_id).unwrap();
        row.created_at.0 -= 1000 * i64::try_from(seconds).unwrap();
    }

    /// Payers 1 to 5 have paid something in, the others never.
    async fn some_paid(payer: Address) -> Result<bool, KeyError> {
        Ok(payer <= Address::repeat_byte(5))
    }

    #[tokio::test]
    async fn who_never_paid_gives_way_to_others() {
        let store = Store::in_memory().await.unwrap();
        let keys = Keys::open(store.clone(), LIMITS).await.unwrap();
        let registered = std::cell::Cell::new(0);
        let register = async |payer: u8| {
            let key = keys.register(&app(payer, &payer.to_string(), "app"), some_paid).await?;
            // One after the other, though this machine's clock may say that it is all at once.
            registered.set(registered.get() + 1);
            age(&keys, &key.key_id, 1000 - registered.get());
            Ok::<_, KeyError>(key.key_id)
        };
        let left = |keys: &Keys| -> Vec<u8> { keys.list(None).iter().filter_map(|key| key.payer).map(|payer| payer[0]).collect() };
        let mut ids = Vec::new();
        for payer in [1, 9, 8, 2, 3] {
            ids.push(register(payer).await.unwrap());
        }
        keys.check_room(some_paid).await.unwrap();
        register(7).await.unwrap();
        assert_eq!(left(&keys), [1, 8, 2, 3, 7], "the oldest of those who never paid");
        let mut stored = left(&Keys::open(store.clone(), LIMITS).await.unwrap());
        stored.sort_unstable();
        assert_eq!(stored, [1, 2, 3, 7, 8], "and after a restart");
        // Revoked a moment ago it stays; an hour later it goes first, whoever paid.
        keys.revoke(&ids[0], None).await.unwrap();
        register(6).await.unwrap();
        assert_eq!(left(&keys), [2, 3, 7, 6, 1]);
        age(&keys, &ids[0], AUTHORISATION_SECONDS_MAX + 1);
        register(9).await.unwrap();
        assert_eq!(left(&keys), [2, 3, 7, 6, 9], "what was forgotten can be registered again");
        for (payer, limit) in [(4, [2, 3, 6, 9, 4]), (5, [2, 3, 9, 4, 5]), (1, [2, 3, 4, 5, 1])] {
            register(payer).await.unwrap();
            assert_eq!(left(&keys), limit);
        }
        assert!(matches!(keys.check_room(some_paid).await, Err(KeyError::Full { limit: 5 })));
        assert!(matches!(register(7).await, Err(KeyError::Full { limit: 5 })));
        assert_eq!(keys.register(&app(2, "2", "app"), some_paid).await.unwrap().key_id, ids[3], "what is there is found");
    }

    #[tokio::test]
    async fn an_authorisation_makes_one_app_and_no_other() {
        let store = Store::in_memory().await.unwrap();
        let keys = Keys::open(store.clone(), LIMITS).await.unwrap();
        let (key, authorisation) = ("hw_mine", app(1, "hw_mine", "app"));
        let first = keys.register(&authorisation, unpaid).await.unwrap();
        assert_eq!(keys.register(&authorisation, unpaid).await.unwrap(), first, "the same app");
        assert_eq!(store.count::<ApiKeyRow>(None).await.unwrap(), 1);
        assert_eq!(keys.caller(key).unwrap().payer, Some(Address::repeat_byte(1)));
        // Somebody else cannot take the key over, nor can its payer rename it.
        for other in [app(2, "hw_mine", "app"), app(1, "hw_mine", "other")] {
            assert!(matches!(keys.register(&other, unpaid).await, Err(KeyError::Taken)));
        }
        assert!(matches!(keys.revoke(&first.key_id, Some(Address::repeat_byte(2))).await, Err(KeyError::Unknown(_))));
        assert!(keys.revoke(&first.key_id, Some(Address::repeat_byte(1))).await.unwrap().revoked);
        assert!(keys.caller(key).is_none());
        for keys in [&keys, &Keys::open(store, LIMITS).await.unwrap()] {
            assert!(matches!(keys.register(&authorisation, unpaid).await, Err(KeyError::Revoked)), "a replay brings nothing back");
            assert!(keys.list(Some(Address::repeat_byte(1)))[0].revoked && keys.list(Some(Address::repeat_byte(2))).is_empty());
        }
    }
}
