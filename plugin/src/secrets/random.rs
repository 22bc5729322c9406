//! Randomness of the system, read in larger pieces: one call for each value would be most of the work.

use kubiya_hook::edge::Failure;
use kubiya_policies::sops::keys::DataKey;
use zeroize::Zeroizing;

/// A source of randomness for one thread of work.
///
/// # Errors
/// The system gives none.
pub fn random() -> Result<impl FnMut(&mut [u8]), Failure> {
    let mut pool = Zeroizing::new([0u8; 1024]);
    fill(&mut *pool)?;
    let mut used = 0;
    Ok(move |buffer: &mut [u8]| {
        let mut rest = buffer;
        while !rest.is_empty() {
            // What worked a moment ago works again; otherwise the process must not go on.
            if used == pool.len() {
                if fill(&mut *pool).is_err() {
                    std::process::abort();
                }
                used = 0;
            }
            let length = rest.len().min(pool.len() - used);
            let (now, later) = rest.split_at_mut(length);
            let fresh = &mut pool[used..used + length];
            now.copy_from_slice(fresh);
            fresh.fill(0);
            (rest, used) = (later, used + length);
        }
    })
}

fn fill(buffer: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(buffer)
        .map_err(|error| Failure::unverified("the system gives no randomness").because(&error))
}

/// A new data key.
pub(super) fn data_key(random: &mut dyn FnMut(&mut [u8])) -> DataKey {
    let mut bytes = Zeroizing::new([0; 32]);
    random(&mut *bytes);
    DataKey::new(*bytes)
}
