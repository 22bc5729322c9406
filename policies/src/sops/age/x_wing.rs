//! X-Wing: a key is agreed on by ML-KEM-768 and by X25519, and both have to fall for it to be known
//! (draft-connolly-cfrg-xwing-kem; `pq.go` of filippo.io/hpke).
//!
//! The crates that have it need a newer `kem` than the `ml-kem` that age uses, and one program cannot have both.

use ml_kem::kem::{Decapsulate as _, DecapsulationKey, Encapsulate as _, EncapsulationKey};
use ml_kem::{Ciphertext, EncodedSizeUser as _, KemCore as _, MlKem768, MlKem768Params};
use rand_core::OsRng;
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Digest as _, Sha3_256, Shake256};
use x25519_dalek::{EphemeralSecret, PublicKey as CurvePublic, StaticSecret};
use zeroize::Zeroizing;

/// The six characters that end the hashed text.
const LABEL: &[u8] = br"\.//^\";
const LATTICE_PUBLIC_BYTES: usize = 1184;
const LATTICE_ENCAPSULATED_BYTES: usize = 1088;

/// The key that both sides have.
pub(super) type Shared = Zeroizing<[u8; 32]>;

/// A public key.
#[derive(Clone)]
pub(super) struct Public {
    lattice: EncapsulationKey<MlKem768Params>,
    curve: CurvePublic,
}

impl Public {
    /// Reads the key of ML-KEM and then that of X25519. `None` for another length, and for numbers that
    /// ML-KEM does not have.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (lattice, curve) = bytes.split_at_checked(LATTICE_PUBLIC_BYTES)?;
        let curve: [u8; 32] = curve.try_into().ok()?;
        let key = EncapsulationKey::from_bytes(&lattice.try_into().ok()?);
        // Numbers are reduced on reading, so those that are too large come back different.
        (key.as_bytes().as_slice() == lattice).then_some(Self { lattice: key, curve: curve.into() })
    }

    /// Writes it as it is read.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [self.lattice.as_bytes().as_slice(), self.curve.as_bytes()].concat()
    }

    /// Agrees on a key: what only the owner's side can open, and the key.
    pub(super) fn encapsulate(&self) -> Option<(Vec<u8>, Shared)> {
        let (lattice, lattice_shared) = self.lattice.encapsulate(&mut OsRng).ok()?;
        let own = EphemeralSecret::random_from_rng(OsRng);
        let curve = CurvePublic::from(&own);
        let curve_shared = own.diffie_hellman(&self.curve);
        if !curve_shared.was_contributory() {
            return None;
        }
        let shared = shared(&lattice_shared, curve_shared.as_bytes(), &curve, &self.curve);
        Some(([lattice.as_slice(), curve.as_bytes()].concat(), shared))
    }
}

/// A private key.
pub(super) struct Secret {
    lattice: DecapsulationKey<MlKem768Params>,
    curve: StaticSecret,
    public: Public,
}

impl Secret {
    /// Makes both private keys out of the seed that the owner keeps.
    pub(super) fn of(seed: &[u8]) -> Option<Self> {
        let seed: &[u8; 32] = seed.try_into().ok()?;
        let mut expanded = Zeroizing::new([0; 96]);
        Shake256::default().chain(seed).finalize_xof().read(&mut *expanded);
        let part = |at: usize| <[u8; 32]>::try_from(&expanded[at..at + 32]).ok().map(Zeroizing::new);
        let (d, z, curve) = (part(0)?, part(32)?, part(64)?);
        let (secret, lattice) = MlKem768::generate_deterministic(&(*d).into(), &(*z).into());
        let curve = StaticSecret::from(*curve);
        let public = Public { lattice, curve: CurvePublic::from(&curve) };
        Some(Self { lattice: secret, curve, public })
    }

    /// Its public key.
    pub(super) fn public(&self) -> &Public {
        &self.public
    }

    /// The key that was agreed on. What was encapsulated for another key gives some other key.
    pub(super) fn decapsulate(&self, encapsulated: &[u8]) -> Option<Shared> {
        let (lattice, curve) = encapsulated.split_at_checked(LATTICE_ENCAPSULATED_BYTES)?;
        let curve = CurvePublic::from(<[u8; 32]>::try_from(curve).ok()?);
        let lattice = Ciphertext::<MlKem768>::try_from(lattice).ok()?;
        let lattice_shared = self.lattice.decapsulate(&lattice).ok()?;
        let curve_shared = self.curve.diffie_hellman(&curve);
        let contributory = curve_shared.was_contributory();
        contributory.then(|| shared(&lattice_shared, curve_shared.as_bytes(), &curve, &self.public.curve))
    }
}

fn shared(lattice: &[u8], curve: &[u8; 32], sender: &CurvePublic, owner: &CurvePublic) -> Shared {
    let hash = Sha3_256::new().chain(lattice).chain(curve).chain(sender.as_bytes()).chain(owner.as_bytes());
    Zeroizing::new(hash.chain(LABEL).finalize().into())
}
