//! Work on the many values of one file, on all cores.

use std::iter::Flatten;
use std::thread::{available_parallelism, scope};
use std::vec::IntoIter;

/// Fewer items are done before another thread has begun.
const FEW: usize = 1024;

/// The results of all threads, one after the other.
pub(super) type Results<R> = Flatten<IntoIter<Vec<R>>>;

/// Applies `work` to every item. The results are in the order of the items, whatever runs where.
pub(super) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Results<R> {
    shares(items, work).into_iter().flatten()
}

fn shares<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<Vec<R>> {
    let threads = if items.len() < FEW { 1 } else { available_parallelism().map_or(1, usize::from) };
    if threads == 1 {
        return vec![items.iter().map(work).collect()];
    }
    let work = &work;
    let mut shares = items.chunks(items.len().div_ceil(threads));
    let first = shares.next().unwrap_or_default();
    scope(|scope| {
        let others = shares
            .map(|share| scope.spawn(move || share.iter().map(work).collect::<Vec<_>>()))
            .collect::<Vec<_>>();
        let mut results = vec![first.iter().map(work).collect()];
        for other in others {
            results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 10 * FEW + 7] {
            let items = (0..count).collect::<Vec<_>>();
            let doubled = items.iter().map(|item| item * 2).collect::<Vec<_>>();
            assert_eq!(map(&items, |item| item * 2).collect::<Vec<_>>(), doubled);
        }
    }
}
