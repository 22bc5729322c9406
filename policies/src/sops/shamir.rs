//! Shares of a data key, as sops makes them for several key groups: Shamir's scheme over GF(2^8) with the
//! polynomial of AES, one polynomial for each byte of the key (`shamir/shamir.go`).

use zeroize::Zeroizing;

use super::cipher::Random;
use super::keys::DataKey;

/// Bytes of a share: one value for each byte of the key, then the point they belong to.
pub const SHARE_BYTES: usize = 33;

/// One share of a data key. Wiped on drop; `Debug` shows nothing.
#[derive(Clone)]
pub struct Share(Zeroizing<[u8; SHARE_BYTES]>);

impl Share {
    /// Takes the bytes over: 32 values, then the point.
    pub fn new(bytes: [u8; SHARE_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The share itself: for wrapping only.
    pub fn expose(&self) -> &[u8; SHARE_BYTES] {
        &self.0
    }

    /// The point at which the polynomials were evaluated. It is no secret.
    fn point(&self) -> u8 {
        self.0[SHARE_BYTES - 1]
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share(…)")
    }
}

impl PartialEq for Share {
    /// Looks at every byte, whatever the first ones say.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for Share {}

/// Why a key cannot be split or put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShamirError {
    /// The threshold is below 2 or above the number of groups, or there are more than 255 groups.
    #[error("a threshold of {threshold} does not fit {groups} key groups: it is from 2 to their number")]
    Threshold {
        /// How many groups there are.
        groups: usize,
        /// How many of them are to be needed.
        threshold: u32,
    },
    /// Fewer than two shares.
    #[error("two shares or more make a data key, here is {0}")]
    TooFew(usize),
    /// Two shares of the same point, or one of point zero: not shares of one key.
    #[error("the shares are not different shares of one data key")]
    Points,
}

/// Splits a key into `shares` shares of which any `threshold` give it back. Their points are 1, 2, 3, …
///
/// # Errors
///
/// The threshold is below 2 or above the number of shares.
pub fn split(
    key: &DataKey,
    shares: u8,
    threshold: u8,
    random: &mut Random<'_>,
) -> Result<Vec<Share>, ShamirError> {
    if threshold < 2 || threshold > shares {
        return Err(ShamirError::Threshold { groups: shares.into(), threshold: threshold.into() });
    }
    let mut split = (1..=shares).map(|_| Share::new([0; SHARE_BYTES])).collect::<Vec<_>>();
    for (share, point) in split.iter_mut().zip(1..) {
        share.0[SHARE_BYTES - 1] = point;
    }
    let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold) - 1]);
    for (index, byte) in key.expose().iter().enumerate() {
        random(&mut coefficients);
        for share in &mut split {
            let point = share.point();
            // Horner's rule, from the highest coefficient down to the secret byte.
            let rest = coefficients.iter().fold(0, |sum, next| multiply(sum, point) ^ next);
            share.0[index] = multiply(rest, point) ^ byte;
        }
    }
    Ok(split)
}

/// Puts a key together from as many shares as its threshold was, or more. With fewer, or with shares of
/// different keys, something else comes out: nothing in a share tells.
///
/// # Errors
///
/// Fewer than two shares, or shares that cannot be of one key.
pub fn combine(shares: &[Share]) -> Result<DataKey, ShamirError> {
    if shares.len() < 2 {
        return Err(ShamirError::TooFew(shares.len()));
    }
    let mut seen = [false; 256];
    for share in shares {
        let point = usize::from(share.point());
        if point == 0 || std::mem::replace(&mut seen[point], true) {
            return Err(ShamirError::Points);
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    for share in shares {
        let weight = weight(share, shares);
        for (byte, value) in key.iter_mut().zip(share.0.iter()) {
            *byte ^= multiply(*value, weight);
        }
    }
    Ok(DataKey::new(*key))
}

/// Lagrange's factor of a share at zero: the product of `x / (x - own)` over the other points.
fn weight(own: &Share, shares: &[Share]) -> u8 {
    let own = own.point();
    let others = shares.iter().map(Share::point).filter(|point| *point != own);
    others.fold(1, |product, point| multiply(product, multiply(point, inverse(point ^ own))))
}

/// The product in the field, without a branch or a table that depends on the factors.
fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |sum: u8, bit| {
        let doubled = (sum << 1) ^ ((sum >> 7).wrapping_neg() & 0x1b);
        doubled ^ (((b >> bit) & 1).wrapping_neg() & a)
    })
}

/// The inverse: the 254th power, which is the product of the 2nd, 4th, … 128th.
fn inverse(a: u8) -> u8 {
    let (mut power, mut product) = (a, 1);
    for _ in 0..7 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_that_of_aes() {
        // Examples of FIPS 197, sections 4.2 and 4.2.1.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
        }
    }

    proptest! {
        #[test]
        fn any_threshold_of_shares_gives_the_key_back_and_fewer_do_not(
            key: [u8; 32], seed: [u8; 32], shares in 2u8..12, missing in 0u8..10, turn in 0usize..12,
        ) {
            let threshold = shares.saturating_sub(missing).max(2);
            let key = DataKey::new(key);
            let mut state = seed;
            let mut random = |buffer: &mut [u8]| {
                for byte in buffer {
                    state.rotate_left(1);
                    state[0] = state[0].wrapping_mul(29).wrapping_add(state[7]).wrapping_add(113);
                    *byte = state[0];
                }
            };
            let mut split = split(&key, shares, threshold, &mut random).unwrap();
            let points = split.iter().map(Share::point).collect::<Vec<_>>();
            prop_assert_eq!(points, (1..=shares).collect::<Vec<_>>());
            split.rotate_left(turn % usize::from(shares));
            prop_assert_eq!(combine(&split).unwrap(), key.clone());
            split.truncate(threshold.into());
            prop_assert_eq!(combine(&split).unwrap(), key.clone());
            split.pop();
            if split.len() >= 2 {
                prop_assert_ne!(combine(&split).unwrap(), key);
            }
        }
    }

    #[test]
    fn thresholds_that_cannot_be_are_refused() {
        let key = DataKey::new([1; 32]);
        for (shares, threshold) in [(3, 1), (3, 0), (3, 4), (1, 1)] {
            let error = split(&key, shares, threshold, &mut |_| {}).unwrap_err();
            assert!(matches!(error, ShamirError::Threshold { .. }));
        }
    }

    #[test]
    fn shares_of_the_same_point_or_of_none_are_refused() {
        let share = |point| {
            let mut bytes = [7; SHARE_BYTES];
            bytes[32] = point;
            Share::new(bytes)
        };
        assert_eq!(combine(&[share(1)]), Err(ShamirError::TooFew(1)));
        assert_eq!(combine(&[share(1), share(1)]), Err(ShamirError::Points));
        assert_eq!(combine(&[share(1), share(0)]), Err(ShamirError::Points));
        assert!(combine(&[share(200), share(255)]).is_ok());
        assert_eq!(format!("{:?}", share(1)), "Share(…)");
    }
}
