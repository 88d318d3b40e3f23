//! The keys by which tokens are checked.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path, sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm as Jwa, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse, ThumbprintHash,
    },
};
use tokio::sync::watch;

use super::{
    Algorithm, AuthenticationOptions, MAX_TRIES, TokenKey,
    fetch::Fetch,
    key_set::{KeySet, Place, Surroundings},
};
use crate::Error;

/// The fewest bytes of a shared secret (RFC 7518 §3.2 asks for as many as the hash has).
const MIN_SECRET: usize = 32;
/// The fewest bytes of an RSA modulus (RFC 7518 §3.3).
const MIN_MODULUS: usize = 256;
/// The largest key set, in bytes.
pub(super) const MAX_SET_BYTES: usize = 1 << 20;
/// The most keys of a set.
const MAX_SET: usize = 64;

/// A key, and what it may be used with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Jwa>,
    pub(super) decoding: DecodingKey,
    /// Which key of a set it is, however often that is read; `None` for one that stays.
    pub(super) mark: Option<Mark>,
}

/// Which key of a set one is: its thumbprint (RFC 7638), its `kid` and what it may be used with.
pub(super) type Mark = Arc<str>;

/// All keys: those that stay, and the sets that change.
pub(super) struct Keys {
    fixed: Vec<Key>,
    sets: Vec<Arc<KeySet>>,
}

impl Keys {
    /// Reads those that are here; what a URL holds is fetched when it is needed.
    pub(super) fn new(options: &AuthenticationOptions) -> Result<Self, Error> {
        let mut keys = Self { fixed: Vec::new(), sets: Vec::new() };
        for (index, source) in options.keys.iter().enumerate() {
            keys.add(source, options).map_err(|reason| Error::InvalidKey { index, reason })?;
        }
        let sets: Vec<_> = keys.sets.iter().map(|set| set.current()).collect();
        check_reach(keys.fixed.iter().chain(sets.iter().flat_map(|set| set.iter())))
            .map_err(|reason| Error::InvalidOption { option: "authentication.keys", reason })?;
        Ok(keys)
    }

    fn add(&mut self, source: &TokenKey, options: &AuthenticationOptions) -> Result<(), String> {
        let (place, algorithms, read) = match source {
            TokenKey::SetFile { path, algorithms } => {
                let read = read(source)?;
                if read.is_empty() {
                    // From a set that is there later it would mean that all were withdrawn.
                    return Err(format!(
                        "has the key set {}, which holds no key for signatures with an allowed algorithm",
                        path.display()
                    ));
                }
                (Place::File(path.clone()), algorithms, Some(read))
            }
            TokenKey::SetUrl { url, algorithms } => {
                read(source)?;
                let fetch = Fetch::new(url, options.key_roots.as_deref(), options.key_fetch_timeout)?;
                (Place::Url { url: url.clone(), fetch: Box::new(fetch) }, algorithms, None)
            }
            TokenKey::Secret { .. } | TokenKey::Public { .. } => {
                self.fixed.extend(read(source)?);
                return Ok(());
            }
        };
        let (pause, age) = match place {
            Place::File(_) => (options.key_refresh, options.key_refresh),
            Place::Url { .. } => (options.key_fetch_pause, options.key_max_age),
        };
        self.sets.push(Arc::new(KeySet::new(place, algorithms.clone(), pause, age, read)));
        Ok(())
    }

    /// Reads sets anew where that is due, as [`KeySet::refresh`] says. Gives the end of what the token has to wait for.
    pub(super) fn refresh(
        &self,
        is_wanted: impl Fn(&Self) -> bool,
        surroundings: &Surroundings,
    ) -> Vec<watch::Receiver<()>> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        let is_wanted = is_wanted(self);
        self.sets.iter().filter_map(|set| set.refresh(is_wanted, surroundings)).collect()
    }

    /// Calls `each` with those keys until it gives something.
    pub(super) fn find<T>(&self, mut each: impl FnMut(&Key) -> Option<T>) -> Option<T> {
        self.fixed
            .iter()
            .find_map(&mut each)
            .or_else(|| self.sets.iter().find_map(|set| set.current().iter().find_map(&mut each)))
    }

    /// Whether a key is still there.
    pub(super) fn have(&self, mark: &Mark) -> bool {
        self.sets.iter().any(|set| set.has(mark))
    }

    /// Whether there is a set of which nothing is known yet.
    pub(super) fn are_missing(&self) -> bool {
        self.sets.iter().any(|set| set.is_missing())
    }

    /// How old the oldest set is that was read.
    pub(super) fn age(&self) -> Option<Duration> {
        self.sets.iter().filter_map(|set| set.age()).max()
    }
}

/// Reads the keys of one source, or says what is wrong with them.
pub(super) fn read(source: &TokenKey) -> Result<Vec<Key>, String> {
    match source {
        TokenKey::Secret { secret, algorithms, id } => {
            let secret = secret.reveal().as_bytes();
            if secret.len() < MIN_SECRET {
                return Err(format!(
                    "has a secret of {} bytes, under the least of {MIN_SECRET}; take a random one",
                    secret.len()
                ));
            }
            let algorithms = of_family(algorithms, AlgorithmFamily::Hmac, "a secret")?;
            Ok(vec![Key {
                id: id.clone(),
                algorithms,
                decoding: DecodingKey::from_secret(secret),
                mark: None,
            }])
        }
        TokenKey::Public { pem, algorithms, id } => {
            let family = algorithms.first().map(|first| first.family());
            let decoding = match family {
                Some(AlgorithmFamily::Rsa) => DecodingKey::from_rsa_pem(pem.as_bytes()),
                Some(AlgorithmFamily::Ec) => DecodingKey::from_ec_pem(pem.as_bytes()),
                Some(AlgorithmFamily::Ed) => DecodingKey::from_ed_pem(pem.as_bytes()),
                _ => return Err("has a public key without an RS, PS, ES or EdDSA algorithm".into()),
            };
            let decoding =
                decoding.map_err(|error| format!("has a public key that cannot be read: {error}"))?;
            check_strength(&decoding)?;
            let algorithms = of_family(algorithms, decoding.family(), "a public key")?;
            Ok(vec![Key { id: id.clone(), algorithms, decoding, mark: None }])
        }
        TokenKey::SetFile { path, algorithms } => read_file(path, algorithms)
            .map_err(|reason| format!("has the key set {}, which {reason}", path.display())),
        TokenKey::SetUrl { algorithms, .. } if algorithms.is_empty() => {
            Err("has a key set without an algorithm; name those that its keys are used with".into())
        }
        TokenKey::SetUrl { url, algorithms } => {
            match algorithms.iter().find(|algorithm| algorithm.family() == AlgorithmFamily::Hmac) {
                Some(shared) => Err(format!(
                    "has the key set {url:?} with {shared}; a secret has no place where others may read it"
                )),
                None => Ok(Vec::new()),
            }
        }
    }
}

/// The algorithm that a public key is usually used with, by what kind of key it is.
pub(super) fn usual_algorithm(pem: &str) -> Option<Algorithm> {
    let pem = pem.as_bytes();
    if DecodingKey::from_rsa_pem(pem).is_ok() {
        return Some(Algorithm::Rs256);
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        // A point of the curve, not compressed: one byte and two coordinates (SEC 1 §2.3.3).
        return match key.kind() {
            DecodingKeyKind::SecretOrDer(point) if point.len() == 65 => Some(Algorithm::Es256),
            DecodingKeyKind::SecretOrDer(point) if point.len() == 97 => Some(Algorithm::Es384),
            _ => None,
        };
    }
    DecodingKey::from_ed_pem(pem).is_ok().then_some(Algorithm::EdDsa)
}

fn of_family(algorithms: &[Algorithm], family: AlgorithmFamily, what: &str) -> Result<Vec<Jwa>, String> {
    if algorithms.is_empty() {
        return Err(format!("has {what} without an algorithm; name those that it is used with"));
    }
    match algorithms.iter().find(|algorithm| algorithm.family() != family) {
        Some(foreign) => Err(format!("has {what} with {foreign:?}, which is of another kind")),
        None => Ok(algorithms.iter().map(|algorithm| algorithm.jwa()).collect()),
    }
}

fn check_strength(key: &DecodingKey) -> Result<(), String> {
    let bytes = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
        DecodingKeyKind::SecretOrDer(bytes) if key.family() == AlgorithmFamily::Rsa => bytes.len(),
        DecodingKeyKind::SecretOrDer(bytes) if key.family() == AlgorithmFamily::Hmac => {
            return match bytes.len() {
                ..MIN_SECRET => Err(format!("has a secret under the least of {MIN_SECRET} bytes")),
                _ => Ok(()),
            };
        }
        _ => return Ok(()),
    };
    match bytes {
        ..MIN_MODULUS => Err(format!("has an RSA key under the least of {} bits", 8 * MIN_MODULUS)),
        _ => Ok(()),
    }
}

/// Reads the keys of a set in a file.
pub(super) fn read_file(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SET_BYTES as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > MAX_SET_BYTES {
        return Err(format!("is over the limit of {MAX_SET_BYTES} bytes"));
    }
    of_set(&text, algorithms)
}

/// The keys of a set that may be used; none of one whose keys were all withdrawn.
pub(super) fn of_set(text: &str, algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let set: JwkSet =
        serde_json::from_str(text).map_err(|error| format!("is no JSON Web Key Set: {error}"))?;
    let keys: Vec<_> = set.keys.iter().filter_map(|jwk| of_jwk(jwk, algorithms)).collect();
    if keys.len() > MAX_SET {
        return Err(format!("holds {} keys, over the limit of {MAX_SET}", keys.len()));
    }
    check_reach(keys.iter()).map(|()| keys)
}

/// Refuses keys by which no token would ever be checked: one without an id fits every token of its algorithms, and a token is tried
/// with the first of those that fit.
fn check_reach<'a>(keys: impl Iterator<Item = &'a Key>) -> Result<(), String> {
    let mut counts = HashMap::<Jwa, usize>::new();
    for algorithm in keys.filter(|key| key.id.is_none()).flat_map(|key| &key.algorithms) {
        let count = counts.entry(*algorithm).or_default();
        *count += 1;
        if *count > MAX_TRIES {
            return Err(format!(
                "holds more than {MAX_TRIES} keys for {algorithm:?} without an id, and a token is tried with no more; give each \
                 its `kid`"
            ));
        }
    }
    Ok(())
}

/// A set whose keys are read one by one: one of a kind that is not known here is no fault of the others.
#[derive(serde::Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// A key of a set; `None` if it is not for signatures, too weak, or of no allowed algorithm.
fn of_jwk(value: &serde_json::Value, allowed: &[Algorithm]) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let common = &jwk.common;
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    if !verifies || !signs {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    if let Err(reason) = check_strength(&decoding) {
        tracing::warn!(id = common.key_id, reason, "key of a set is left out");
        return None;
    }
    let named = match common.key_algorithm {
        Some(named) => Some(jwa_of(named)?),
        None => None,
    };
    let of_curve = |algorithm: &Algorithm| match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => *algorithm == Algorithm::Es256,
            EllipticCurve::P384 => *algorithm == Algorithm::Es384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(pair) => pair.curve == EllipticCurve::Ed25519,
        _ => true,
    };
    let algorithms: Vec<_> = allowed
        .iter()
        .filter(|algorithm| algorithm.family() == decoding.family() && of_curve(algorithm))
        .map(|algorithm| algorithm.jwa())
        .filter(|algorithm| named.is_none_or(|named| named == *algorithm))
        .collect();
    if algorithms.is_empty() {
        return None;
    }
    let (id, thumbprint) = (common.key_id.clone(), jwk.thumbprint(ThumbprintHash::SHA256).ok()?);
    let mark = Some(format!("{thumbprint} {algorithms:?} {id:?}").into());
    Some(Key { id, algorithms, decoding, mark })
}

fn jwa_of(named: KeyAlgorithm) -> Option<Jwa> {
    named.to_string().parse().ok()
}
